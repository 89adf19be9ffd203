"""The order in which a command writes: what is asked is on record before anything runs."""

from pathlib import Path
from typing import Any

import pytest

from kvdistill.cli import run
from kvdistill.console import SafeConsole
from kvdistill.errors import UserError
from kvdistill.plan.command_plan import Plan
from kvdistill.plan.graph import Node
from kvdistill.report import study_report


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


@pytest.mark.parametrize(("cluster", "jobs", "by_server"), [
    ("local", 1, True), ("local", 0, False), ("slurm", 1, False),
])  # fmt: skip
def test_a_report_is_made_by_the_code_that_did_the_jobs(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    cluster: str,
    jobs: int,
    by_server: bool,
) -> None:
    requests: list[tuple[str, Any]] = []

    def answer(where: str) -> Any:
        def make(*arguments: Any) -> dict[str, str]:
            requests.append((where, arguments[-1]))
            return {"printed": "the comparison\n", "fault": "a run is cut"}

        return make

    monkeypatch.setattr(run, "console", SafeConsole(width=77))
    monkeypatch.setattr(run, "call_in_server_process", answer("server"))
    monkeypatch.setattr(study_report, "make_study_report", answer("here"))
    for module, name in (
        (run, "record_plan"), (run, "freeze_plan"), (run.preregistration, "register_claims"),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, lambda *_: None)
    monkeypatch.setattr(run, "submit", lambda *_, **__: {})
    plan = Plan(tmp_path, "s")
    plan.config = {"cluster": {"name": cluster}, "stats": {"confidence": 0.95}}
    nodes = [Node("split", "split-a", {}, {})] * jobs
    with pytest.raises(UserError, match="a run is cut"):
        run.finish_plan(plan, nodes)
    ((where, request),) = requests
    assert where == ("server" if by_server else "here")
    assert (request["stats"], request["width"]) == ({"confidence": 0.95}, 77)
    assert request["study"] == str(tmp_path / "runs/s")
    assert capsys.readouterr().out == "the comparison\n"
