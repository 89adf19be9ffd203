"""No test can hang: one that its time limit cannot interrupt ends its process, with where it was.

pytest-timeout fails a test by a signal, which Python handles between two instructions: never, while
C code waits. A thread of Python could not act either while that code holds the GIL. faulthandler's
watchdog needs no GIL. Under pytest-xdist the worker is replaced and its test reported as crashed.
"""

import faulthandler
import os
from collections.abc import Iterator

import pytest

STDERR = pytest.StashKey[int]()


def pytest_configure(config: pytest.Config) -> None:
    """Keeps the real stderr: during a test, pytest has put a file in its place."""
    config.stash[STDERR] = os.dup(2)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Ends the process a little after the moment at which pytest-timeout should have spoken."""
    if limit := get_limit(item):
        late = limit + max(2.0, limit / 4)
        faulthandler.dump_traceback_later(late, exit=True, file=item.config.stash[STDERR])
    try:
        return (yield)  # type: ignore[return-value]
    finally:
        faulthandler.cancel_dump_traceback_later()


def get_limit(item: pytest.Item) -> float:
    """Seconds that a test may take, as pytest-timeout reads them; 0 is no limit."""
    if (marker := item.get_closest_marker("timeout")) is not None:
        return float(marker.kwargs.get("timeout", marker.args[0] if marker.args else 0))
    given = item.config.getoption("timeout")
    return float(given if given is not None else item.config.getini("timeout") or 0)
