"""The collector of tests leaves modules alone, and keeps no garbage with them."""

import gc
import weakref

import pytest

from tests import collector


class Node:
    """What may refer to itself."""

    def __init__(self) -> None:
        self.itself = self


def test_what_is_alive_is_left_alone_and_garbage_is_collected(
    request: pytest.FixtureRequest,
) -> None:
    alive, garbage = Node(), Node()
    gone = weakref.ref(garbage)
    del garbage
    request.config.stash[collector.MODULES] = 0  # as if modules had been imported
    collector.pytest_runtest_teardown(request.node)
    assert gone() is None
    assert not any(each is alive for each in gc.get_objects())


def test_a_test_that_imports_nothing_costs_no_collection(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    collector.pytest_runtest_teardown(request.node)
    monkeypatch.setattr(gc, "collect", lambda: pytest.fail("collected"))
    collector.pytest_runtest_teardown(request.node)


def test_nothing_is_collected_while_tests_are_imported(request: pytest.FixtureRequest) -> None:
    collection = collector.pytest_collection(request.session)
    next(collection)
    assert not gc.isenabled()
    assert next(collection, None) is None
    assert gc.isenabled()
