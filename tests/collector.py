"""What modules hold is no garbage: after a test that imports, the collector looks there no more.

A full collection looks at every object, and there are a million once torch, transformers and this
suite's own tests are loaded: each training begins with one, and tests that train spent a third of
their time on it.
"""

import gc
import sys
from collections.abc import Iterator

import pytest

MODULES = pytest.StashKey[int]()
"""How many modules were loaded when the collector was last told to leave them alone."""


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Iterator[None]:
    """Imports make next to no garbage, and looking for it is a fifth of what they take."""
    gc.disable()
    try:
        return (yield)  # type: ignore[return-value]
    finally:
        gc.enable()
        leave_alone(session.config)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    """Where a test has imported something, that is left alone too."""
    if len(sys.modules) != item.config.stash.get(MODULES, 0):
        leave_alone(item.config)


def leave_alone(config: pytest.Config) -> None:
    """Collects what is garbage, so that it is not kept with the rest, and looks there no more."""
    gc.collect()
    gc.freeze()
    config.stash[MODULES] = len(sys.modules)
