"""The collector pauses while modules are imported, and never looks at what they hold."""

import gc
import sys

import pytest

from kvdistill.garbage import keep_imports, pause_garbage_collection


def test_nothing_is_collected_while_it_pauses_and_it_goes_on_as_before() -> None:
    with pause_garbage_collection():
        assert not gc.isenabled()
    assert gc.isenabled()
    gc.disable()
    try:
        with pause_garbage_collection():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_what_was_imported_is_left_alone_and_nothing_where_nothing_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[bool] = []
    monkeypatch.setattr(gc, "freeze", lambda: calls.append(gc.isenabled()))
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    for count in (1, 1):  # the second time it is there
        with keep_imports():
            import colorsys  # noqa: F401
        assert calls == [False] * count
