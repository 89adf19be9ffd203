"""plan.json as a value: what was written is read, and a run has one name everywhere."""

from pathlib import Path

import pytest

from kvdistill.errors import ArtifactError
from kvdistill.plan.study_plan import Question, RunEntry, StudyPlan


def entry(seed: int) -> RunEntry:
    return RunEntry(f"runs/s/runs/seed{seed}-x", "sft", seed, recipe="r", trained=True, steps=3)


def plan() -> StudyPlan:
    treatments = Question("Which?", {"primary": {"baseline": "sft"}}, {"learnable": {"1": "a"}})
    matrix = Question("How?", arms={"right": {"1": "a", "2": "b"}, "learnable": {"1": "a"}})
    return StudyPlan(
        "s", ["python launch.py"], {"treatments": treatments, "matrix": matrix}, {"small": "c"},
        {"a": entry(1), "b": entry(2), "c": entry(0)},
    )  # fmt: skip


def test_what_is_written_is_read(tmp_path: Path) -> None:
    plan().write(tmp_path)
    assert StudyPlan.read(tmp_path) == plan()


def test_a_run_that_two_questions_share_is_named_by_both() -> None:
    assert plan().labels() == {"a": "learnable, right", "b": "right"}
    assert plan().reference_names() == {"c": "reference small"}


def test_what_is_no_plan_is_named(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text('{"study": "s", "questions": {}, "runs": {"a": {}}}')
    with pytest.raises(ArtifactError, match=r"plan\.json is no plan: TypeError"):
        StudyPlan.read(tmp_path)
