"""A test that takes long is no part of the inner loop."""

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tests import inner_loop

SECONDS = 1.5 * inner_loop.REFUSED


def run_hook(monkeypatch: pytest.MonkeyPatch, *markers: str, imports: str | None = None) -> Any:
    """What a call that takes too long comes to, by the markers of its test."""
    clock = iter([0.0, SECONDS])
    monkeypatch.setattr(inner_loop, "count_seconds", lambda: next(clock))
    item: Any = SimpleNamespace(get_closest_marker=lambda name: name in markers)
    hook: Any = inner_loop.pytest_runtest_call(item)
    next(hook)
    if imports:
        monkeypatch.setitem(sys.modules, imports, ModuleType(imports))
    with pytest.raises(StopIteration) as end:
        hook.send("result")
    return end.value.value


def test_what_takes_long_fails_unless_it_is_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(pytest.fail.Exception, match=r"integration, or shares what it builds"):
        run_hook(monkeypatch)
    for marker in inner_loop.MARKERS:
        assert run_hook(monkeypatch, marker) == "result"


def test_whoever_imports_first_is_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_hook(monkeypatch, imports="a_library_nobody_has") == "result"


def test_what_a_test_waited_for_is_counted() -> None:
    began = inner_loop.count_seconds()
    sum(range(2_000_000))
    assert inner_loop.count_seconds() > began
