"""The order in which pytest-xdist hands out the files of tests, so that its workers end together.

By itself it begins with the files of most tests and ends with a file of one test that takes a
minute. Here files of whole studies come first, and what shares something that takes long to make is
one piece of work, so that it is made by one worker alone.
"""

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from xdist.scheduler import LoadFileScheduling
TOGETHER = {
    "a SLURM": ("tests/slurm/",),
    "a server of commands": ("tests/end_to_end/", "tests/test_launch_server.py"),
    "compositions": tuple(
        f"tests/house/test_{name}.py" for name in ("sweeps", "commands", "examples")
    ),
}
"""What is shared -> how the tests begin that share it; the first of them take longest."""


def find_group(nodeid: str) -> str | None:
    """What this test shares with those of other files."""
    return next((name for name, begin in TOGETHER.items() if nodeid.startswith(begin)), None)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with marked tests first; before all what is shared, and side by side."""
    long = {item.path for item in items if item.get_closest_marker("integration")}
    order = [*TOGETHER, None]
    items.sort(key=lambda item: (order.index(find_group(item.nodeid)), item.path not in long))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> "LoadFileScheduling | None":
    """For --dist loadfile, in the order of collection."""
    from xdist.scheduler import LoadFileScheduling

    if config.getoption("dist") != "loadfile":
        return None
    config.option.loadscopereorder = False

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return find_group(nodeid) or super()._split_scope(nodeid)

    return Scheduling(config, log)
