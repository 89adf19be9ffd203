"""The order in which pytest-xdist hands out the files of tests, so that its workers end together.

By itself it begins with the files of most tests and ends with a file of one test that takes a
minute. Here files of whole studies come first, and all tests of a SLURM are one piece of work, so
that one SLURM serves them.
"""

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from xdist.scheduler import LoadFileScheduling
TOGETHER = ("tests/slurm/",)
"""Folders whose files share what takes long to start."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with marked tests first; what shares a SLURM before all, and side by side."""
    long = {item.path for item in items if item.get_closest_marker("integration")}
    items.sort(key=lambda item: (not item.nodeid.startswith(TOGETHER), item.path not in long))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> "LoadFileScheduling | None":
    """For --dist loadfile, in the order of collection."""
    from xdist.scheduler import LoadFileScheduling

    if config.getoption("dist") != "loadfile":
        return None
    config.option.loadscopereorder = False

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            folder = next((each for each in TOGETHER if nodeid.startswith(each)), None)
            return folder or super()._split_scope(nodeid)

    return Scheduling(config, log)
