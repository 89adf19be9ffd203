"""A test that takes long is no part of the inner loop."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tests import inner_loop

ROOT = Path(__file__).parents[2]
SECONDS = 1.5 * inner_loop.REFUSED
INNER = "not slow and not bench and not integration"
WHOLE = "not slow and not bench"


def run_hook(
    monkeypatch: pytest.MonkeyPatch,
    *markers: str,
    selected: str = INNER,
    imports: str | None = None,
) -> Any:
    """What a call that takes too long comes to, by its markers and what `-m` selects."""
    clock = iter([0.0, SECONDS])
    monkeypatch.setattr(inner_loop, "count_seconds", lambda: next(clock))
    option = SimpleNamespace(markexpr=selected)
    item: Any = SimpleNamespace(
        config=SimpleNamespace(option=option), get_closest_marker=lambda name: name in markers
    )
    hook: Any = inner_loop.pytest_runtest_call(item)
    next(hook)
    if imports:
        monkeypatch.setitem(sys.modules, imports, ModuleType(imports))
    with pytest.raises(StopIteration) as end:
        hook.send("result")
    return end.value.value


def test_what_takes_long_fails_in_the_inner_loop_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(pytest.fail.Exception, match=r"integration, or shares what it builds"):
        run_hook(monkeypatch)
    for marker in inner_loop.MARKERS:
        assert run_hook(monkeypatch, marker) == "result"
    assert run_hook(monkeypatch, selected=WHOLE) == "result"
    assert f'-m "{INNER}"' in (ROOT / "README.md").read_text("utf-8")


def test_whoever_imports_first_is_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_hook(monkeypatch, imports="a_library_nobody_has") == "result"


def test_what_a_test_waited_for_is_counted() -> None:
    began = inner_loop.count_seconds()
    sum(range(2_000_000))
    assert inner_loop.count_seconds() > began
