"""The inner loop stays short: what takes longer than it may carries `integration`, or fails.

Counted are processor seconds of a test's own call and of the processes that it waited for, so that
a busy machine changes little. What is shared counts for nobody: fixtures are no call, and the first
test that needs a library is not judged. Only the inner loop's own command judges: what a release
must pass does not hang on how fast a processor is.
"""

import resource
import sys
import time
from collections.abc import Iterator

import pytest

LONGEST = 0.4
"""Processor seconds of a quiet core from which a test is marked `integration`."""
REFUSED = 5 * LONGEST
"""Those from which one that is not marked fails, with whatever runs beside it."""
MARKERS = ("integration", "slow", "bench", "gpu")
"""Of tests that may take longer, also where `-m` leaves them in: where there is a GPU, say."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Fails a test that has taken too long for the inner loop, in that loop."""
    began, modules = count_seconds(), len(sys.modules)
    result = yield
    judged = "not integration" in item.config.option.markexpr and len(sys.modules) == modules
    if judged and not any(item.get_closest_marker(name) for name in MARKERS):
        check_seconds(count_seconds() - began)
    return result


def count_seconds() -> float:
    """Processor seconds of this process and of those that it has waited for."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def check_seconds(seconds: float) -> None:
    """Fails where the inner loop has no room for as many."""
    if seconds > REFUSED:
        pytest.fail(
            f"{seconds:.1f} processor seconds: what takes more than {LONGEST} on a quiet core "
            f"carries pytest.mark.integration, or shares what it builds with other tests.",
            pytrace=False,
        )
