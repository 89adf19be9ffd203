"""What modules hold is no garbage: after a test that imports, the collector looks there no more.

A full collection looks at every object, and there are a million once torch, transformers and this
suite's own tests are loaded: each training begins with one, and tests that train spent a third of
their time on it.
"""

import gc
import sys

import pytest

MODULES = pytest.StashKey[int]()
"""How many modules were loaded when the collector was last told to leave them alone."""


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    """Collects what is garbage, so that it is not kept with the rest."""
    if len(sys.modules) != item.config.stash.get(MODULES, 0):
        gc.collect()
        gc.freeze()
        item.config.stash[MODULES] = len(sys.modules)
