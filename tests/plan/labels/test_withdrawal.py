"""What is withdrawn leaves its question and nothing else."""

from dataclasses import replace
from pathlib import Path

import pytest

from kvdistill.errors import ConfigError
from kvdistill.history import read_history
from kvdistill.plan.labels.withdrawal import withdraw_runs
from kvdistill.plan.study_plan import Question, RunEntry, StudyPlan


def write_plan(root: Path) -> Path:
    """Two questions that share the runs of one recipe; a teacher beside them."""
    study = root / "runs/s"
    entries = {
        name: RunEntry(f"runs/s/runs/seed{name}", "sft", 1, recipe=name[0], trained=True, steps=3)
        for name in ("a1", "a2", "b1", "t0")
    }
    questions = {
        "p": Question("?", arms={"one": {"1": "a1", "2": "a2"}, "two": {"1": "b1"}}),
        "q": Question("?", arms={"one": {"1": "a1"}, "other": {"1": "a1"}}),
    }  # fmt: skip
    StudyPlan("s", [], questions, {"small": "t0"}, entries).write(study)
    return study


def test_an_arm_leaves_every_question_that_has_its_label(tmp_path: Path) -> None:
    study = write_plan(tmp_path)
    entries = withdraw_runs(tmp_path, study, "a bug", label="one")
    assert [(e.question, e.label, e.runs, e.reason) for e in entries] == [
        ("p", "one", {"1": "a1", "2": "a2"}, "a bug"),
        ("q", "one", {"1": "a1"}, "a bug"),
    ]
    plan = StudyPlan.read(study)
    assert {name: list(q.arms) for name, q in plan.questions.items()} == {
        "p": ["two"],
        "q": ["other"],
    }
    assert plan.withdrawn == entries
    assert set(plan.runs) == {"a1", "a2", "b1", "t0"}
    # a1 is still read under its other label.
    assert list(plan.list_withdrawn_runs()) == ["a2"]


def test_one_questions_arm_is_named_with_its_question(tmp_path: Path) -> None:
    study = write_plan(tmp_path)
    withdraw_runs(tmp_path, study, "a bug", label="q: one")
    plan = StudyPlan.read(study)
    assert [list(q.arms) for q in plan.questions.values()] == [["one", "two"], ["other"]]


@pytest.mark.parametrize("name", ["a1", "seed1-a1"])
def test_a_run_leaves_its_arms_which_go_on_without_it(tmp_path: Path, name: str) -> None:
    study = write_plan(tmp_path)
    entries = withdraw_runs(tmp_path, study, "diverged", run=name)
    assert [entry.name for entry in entries] == ["one seed 1", "one seed 1", "other seed 1"]
    plan = StudyPlan.read(study)
    assert plan.questions["p"].arms == {"one": {"2": "a2"}, "two": {"1": "b1"}}
    assert plan.questions["q"].arms == {}


def test_a_teacher_is_withdrawn_as_tables_call_it(tmp_path: Path) -> None:
    study = write_plan(tmp_path)
    withdraw_runs(tmp_path, study, "of other tasks", label="teacher small")
    assert StudyPlan.read(study).references == {}
    assert list(StudyPlan.read(study).list_withdrawn_runs()) == ["t0"]


def test_each_withdrawal_stands_in_the_record(tmp_path: Path) -> None:
    withdraw_runs(tmp_path, write_plan(tmp_path), "a bug", label="one")
    events = read_history(tmp_path).events
    assert [(e.study, e.event, e.facts["label"], e.facts["reason"]) for e in events] == [
        ("s", "withdrawn", "one", "a bug"),
        ("s", "withdrawn", "one", "a bug"),
    ]


@pytest.mark.parametrize(
    ("named", "says"),
    [
        ({"label": "no"}, r"label=no is no label of study=s\. It has one, other, teacher small"),
        ({"run": "zz"}, r"run=zz is no run that study=s reads\. It reads a1, a2, b1, t0\."),
    ],
)  # fmt: skip
def test_what_the_study_lacks_is_refused(tmp_path: Path, named: dict[str, str], says: str) -> None:
    study = write_plan(tmp_path)
    before = (study / "plan.json").read_bytes()
    with pytest.raises(ConfigError, match=says):
        withdraw_runs(tmp_path, study, "a bug", **named)
    assert (study / "plan.json").read_bytes() == before
    assert not read_history(tmp_path).events


def test_what_was_withdrawn_may_be_planned_again_and_both_show(tmp_path: Path) -> None:
    study = write_plan(tmp_path)
    withdraw_runs(tmp_path, study, "a bug", label="two")
    plan = StudyPlan.read(study)
    plan.questions["p"].arms["two"] = {"1": "b1"}
    plan.write(study)
    again = StudyPlan.read(study)
    assert again.list_withdrawn_runs() == {}
    assert [replace(entry, time="") for entry in again.withdrawn] == [
        replace(entry, time="") for entry in plan.withdrawn
    ]
