"""The order in which a command writes: what is asked is on record before anything runs."""

from pathlib import Path
from typing import Any

import pytest

from kvdistill.cli import run
from kvdistill.plan.command_plan import Plan


def test_what_is_asked_is_recorded_before_anything_is_frozen_or_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    for module, name in (
        (run, "record_plan"), (run, "freeze_plan"), (run.preregistration, "register_claims"),
        (run, "submit"),
    ):  # fmt: skip

        def note(*_: Any, name: str = name, **__: Any) -> None:
            calls.append(name)

        monkeypatch.setattr(module, name, note)
    run.finish_plan(Plan(tmp_path, "s"), [])
    assert calls == ["record_plan", "freeze_plan", "register_claims", "submit"]
