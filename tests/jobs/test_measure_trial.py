"""What a trial keeps of its training: the last validation, and nothing that was scored."""

import json
from pathlib import Path
from typing import Any

import pytest

from kvdistill.errors import DivergedError, UserError


def write_curves(path: Path, *lines: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


VAL = {"step": 4, "split": "val", "ce": 0.5, "exact_match": 0.25}


def test_the_last_validation_is_read_and_no_training_line(tmp_path: Path) -> None:
    from kvdistill.jobs.measure_trial import read_last_validation

    first = {**VAL, "step": 2, "ce": 0.9}
    train = {"step": 5, "split": "train", "ce": 0.1, "exact_match": 1.0}
    tasks = {"step": 4, "split": "val", "macro": 0.5}
    path = write_curves(tmp_path / "curves.jsonl", first, VAL, tasks, train)
    assert read_last_validation(path) == {"step": 4, "ce": 0.5, "exact_match": 0.25}


def test_a_training_that_never_validated_is_refused(tmp_path: Path) -> None:
    from kvdistill.jobs.measure_trial import read_last_validation

    path = write_curves(tmp_path / "curves.jsonl", {"step": 1, "split": "train", "ce": 1.0})
    with pytest.raises(UserError, match="has no validation: set train"):
        read_last_validation(path)


@pytest.fixture
def build(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """The builder of a trial whose training ends at once, or diverges."""
    from kvdistill.jobs import builders

    def build_with(error: Exception | None = None, ranks: int = 1) -> dict[str, Any]:
        def train(_: Any, __: Any, folder: Path, ___: Any) -> dict[str, Any]:
            for name in ("model", "checkpoints"):
                (folder / name).mkdir()
            if error is not None:
                raise error
            write_curves(folder / "curves.jsonl", VAL)
            return {"steps": 4}

        monkeypatch.setattr(builders, "train_student", train)
        monkeypatch.setattr(builders.distributed, "count_ranks", lambda: ranks)
        recipe = {"arm": "sft", "seed": 1, "trained": True}
        return builders.BUILDERS["trial"](recipe, {}, tmp_path, lambda *_: None)

    return build_with


def test_a_trial_leaves_its_curves_and_no_model(build: Any, tmp_path: Path) -> None:
    facts = build()
    assert facts["measured"] == {"step": 4, "ce": 0.5, "exact_match": 0.25}
    assert facts["measured_on"] == "val.jsonl"
    assert facts["ledger"] == {"steps": 4}
    assert [path.name for path in tmp_path.iterdir()] == ["curves.jsonl"]


def test_a_trial_that_diverged_is_a_result_without_a_number(build: Any, tmp_path: Path) -> None:
    facts = build(DivergedError("the loss is nan at step 3"))
    assert facts["measured"] is None
    assert facts["diverged"] == "the loss is nan at step 3"
    assert list(tmp_path.iterdir()) == []


def test_what_else_fails_is_a_failure_and_so_is_divergence_of_several_processes(
    build: Any, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="no room"):
        build(UserError("no room"))
    for name in ("model", "checkpoints"):
        (tmp_path / name).rmdir()
    with pytest.raises(DivergedError):
        build(DivergedError("nan"), ranks=2)
