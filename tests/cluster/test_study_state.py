"""What is being made stands above the runs that wait for it."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from kvdistill.plan.frozen_recipe import seal_recipe
from kvdistill.plan.study_plan import Question, RunEntry, StudyPlan

NEEDS = {"split": "split-1", "teacher.a": "conversion-1", "calibration.a": "calibration-1"}
RECIPES = {
    "split-1": ("split", {}),
    "conversion-1": ("conversion", {"model": {"name": "qwen"}}),
    "calibration-1": ("calibration", {"teachers": {"only": {"name": "qwen"}}}),
}
WORKING = {"state": "running", "step": 30, "steps": 120, "steps_per_s": 2.5, "eta_s": 36.0}


def study(root: Path, **statuses: dict[str, Any]) -> Path:
    """Two runs of one plan, and artefacts with these statuses: by kind; others are not begun."""
    entries = {}
    for run in ("abc", "def"):
        folder = root / f"runs/s/runs/seed1-{run}"
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text(
            seal_recipe({"kind": "run", "needs": NEEDS, "recipe": {}})
        )
        entries[run] = RunEntry(
            f"runs/s/runs/seed1-{run}", "sft", 1, recipe="r", trained=True, steps=4
        )
    for name, (kind, recipe) in RECIPES.items():
        folder = root / "artifacts" / name
        folder.mkdir(parents=True)
        frozen = {"kind": kind, "needs": {}, "recipe": recipe}
        (folder / "config.yaml").write_text(seal_recipe(frozen))
        status = statuses.get(kind)
        if status == {"state": "done"}:
            (folder / "manifest.json").write_text("{}")
        elif status:
            (folder / "status.json").write_text(json.dumps({"heartbeat": time.time()} | status))
    question = Question("?", arms={"one": {"1": "abc"}, "two": {"1": "def"}})
    StudyPlan("s", questions={"q": question}, runs=entries).write(root / "runs/s")
    return root / "runs/s"


def read(root: Path, **statuses: dict[str, Any]) -> Any:
    from kvdistill.cluster.study_state import read_study_state

    return read_study_state(root, study(root, **statuses))


def test_what_is_at_work_is_shown_with_step_and_rate_and_runs_say_what_they_wait_for(
    tmp_path: Path,
) -> None:
    state = read(tmp_path, split={"state": "done"}, conversion=WORKING | {"phase": "unpacking x"})
    (line,) = state.building
    assert (line.run, line.label, line.seed) == ("conversion-1", "conversion of qwen", None)
    assert (line.state, line.step, line.steps, line.steps_per_s) == ("running", 30, 120, 2.5)
    assert (line.phase, line.why) == ("unpacking x", "2 runs to read it")
    assert 0 <= line.heartbeat_s < 30
    assert [run.state for run in state.runs] == ["planned", "planned"]
    assert {run.why for run in state.runs} == {"waits for conversion of qwen"}
    assert state.is_at_work()


def test_nothing_is_shown_of_what_stands_or_is_not_begun(tmp_path: Path) -> None:
    state = read(tmp_path, split={"state": "done"})
    assert state.building == []
    assert {run.why for run in state.runs} == {""}
    assert not state.is_at_work()


def test_one_that_was_interrupted_is_stopped_and_one_that_failed_says_why(tmp_path: Path) -> None:
    import platform
    import subprocess
    import sys

    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    process = {"host": platform.node(), "pid": ended.pid}
    state = read(
        tmp_path,
        conversion=WORKING | {"process": process},
        calibration={"state": "failed", "error": "no room"},
    )
    assert [(line.state, line.why) for line in state.building] == [
        ("stopped", "its process has ended. Repeat the command."),
        ("failed", "no room"),
    ]
    assert not state.is_at_work()


def test_plain_lines_have_a_header_and_artefacts_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from kvdistill.cli.status import COLUMNS, show_study
    from kvdistill.config.schema import StatusSettings

    place = study(tmp_path, conversion=WORKING)
    settings = StatusSettings(watch=False, format="table", every_s=1.0)
    show_study(tmp_path, place, settings)  # into a pipe
    header, first, *runs = (line.split("\t") for line in capsys.readouterr().out.splitlines())
    assert header == list(COLUMNS)
    row = dict(zip(header, first, strict=True))
    assert (row["run"], row["arm"], row["seed"]) == ("conversion-1", "conversion of qwen", "")
    assert (row["state"], row["steps"], row["rate"], row["left"]) == (
        "running", "30/120", "2.50/s", "36 s"
    )  # fmt: skip
    assert [row[0] for row in runs] == ["abc", "def"]


def test_json_has_them_apart_and_a_table_in_a_section_of_their_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from rich.console import Console

    from kvdistill.cli.status import show_study, tabulate_study
    from kvdistill.cluster.study_state import read_study_state
    from kvdistill.config.schema import StatusSettings

    place = study(tmp_path, conversion=WORKING)
    show_study(tmp_path, place, StatusSettings(watch=False, format="json", every_s=1.0))
    report = json.loads(capsys.readouterr().out)
    assert [line["run"] for line in report["building"]] == ["conversion-1"]
    assert [line["run"] for line in report["runs"]] == ["abc", "def"]
    console = Console(width=200)
    with console.capture() as capture:
        console.print(tabulate_study("s", read_study_state(tmp_path, place)))
    text = capture.get()
    assert "study s: 2 planned; above them 1 artefact in the making" in text
    assert text.index("conversion of qwen") < text.index("abc")


@pytest.mark.parametrize(
    ("kind", "recipe", "label"),
    [
        ("model", {"model": {"name": "a", "build": {"training": {"steps": 3}}}}, "training of a"),
        ("model", {"model": {"name": "a", "build": {"keep": [0]}}}, "making of a"),
        ("kv", {"teachers": {"only": {"name": "a"}}}, "store of a"),
        ("kv", {"teachers": {"only": {"name": "a"}}, "holds": "states"}, "states of a"),
        ("answers", {"teachers": {"only": {"name": "a"}}}, "answers of a"),
        ("validation", {}, "validation"),
    ],
)
def test_each_kind_is_called_by_what_is_done(kind: str, recipe: dict, label: str) -> None:
    from kvdistill.cluster.study_state import describe_artifact
    from kvdistill.plan.graph import Node

    assert describe_artifact(Node(kind, "x", recipe, {})) == label
