"""A run in two jobs: what training left is found by the job that scores, and by nobody else."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kvdistill.files import read_json
from kvdistill.plan.frozen_recipe import seal_recipe


@pytest.fixture(autouse=True)
def _own_signals() -> Iterator[None]:
    """A job answers SIGTERM; the tests must not."""
    kept = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, kept)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, list[str]]:
    """(a frozen run, what its stand-ins for training and scoring have done)."""
    from kvdistill.evaluate import write_records
    from kvdistill.jobs import builders
    from kvdistill.report import model_card, run_figures

    folder = tmp_path / "runs/s/runs/seed1-abc"
    folder.mkdir(parents=True)
    recipe = {
        "trained": True, "arm": "sft", "seed": 1, "budget": {"num_gpus": 1}, "student": {},
        "teachers": {}, "data": {}, "tasks": {"tasks": []},
    }  # fmt: skip
    frozen = {"kind": "run", "needs": {}, "recipe": recipe}
    (folder / "config.yaml").write_text(seal_recipe(frozen))
    done: list[str] = []

    def train(config: Any, needs: Any, place: Path, _: Any) -> dict[str, Any]:
        done.append("trained")
        (place / "model").mkdir(exist_ok=True)
        (place / "model/weights").write_text("w")
        (place / "curves.jsonl").write_text("{}\n")
        (place / "checkpoints/checkpoint-1").mkdir(parents=True)
        return {"train_s": 1.0}

    def score(*_: Any) -> str:
        done.append("scored")
        return "scores"

    monkeypatch.setattr(builders, "train_run", train)
    monkeypatch.setattr(builders.load, "load_model", lambda *_: None)
    monkeypatch.setattr(builders.load, "load_tokenizer", lambda *_: None)
    monkeypatch.setattr(builders, "set_reading_attention", lambda *_: None)
    monkeypatch.setattr(builders.load, "place_for_scoring", lambda *_: None)
    monkeypatch.setattr(write_records, "score_model", score)
    monkeypatch.setattr(write_records, "write_run_records", lambda *_: None)
    monkeypatch.setattr(model_card, "write_model_card", lambda _: None)
    monkeypatch.setattr(run_figures, "write_run_figures", lambda _: None)
    return folder, done


def test_a_run_in_two_jobs_trains_once_and_is_complete_when_it_is_scored(
    run: tuple[Path, list[str]],
) -> None:
    from kvdistill.jobs.__main__ import main

    folder, done = run
    assert main(folder, "training") == 0
    assert main(folder, "training") == 0  # there is nothing more to train
    assert done == ["trained"]
    assert read_json(folder / "status.json")["state"] == "trained"
    assert not (folder / "checkpoints").exists()
    assert not (folder / "manifest.json").exists()
    assert main(folder, "evaluation") == 0
    assert done == ["trained", "scored"]
    manifest = read_json(folder / "manifest.json")
    assert manifest["ledger"] == {"train_s": 1.0}
    assert manifest["ranks"] == 1
    assert set(manifest["files"]) == {"model/weights", "curves.jsonl"}
    assert not (folder / "trained.json").exists()


def test_an_evaluation_that_fails_loses_no_training(
    run: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from kvdistill.evaluate import write_records
    from kvdistill.jobs.__main__ import main

    folder, done = run

    def fail(*_: Any) -> None:
        raise RuntimeError("out of answers")

    with monkeypatch.context() as patch:
        patch.setattr(write_records, "score_model", fail)
        assert main(folder) == 1  # also where one job does both
    assert read_json(folder / "status.json")["error"] == "RuntimeError: out of answers"
    assert main(folder) == 0
    assert done == ["trained", "scored"]


def test_a_student_that_was_altered_since_is_not_scored(run: tuple[Path, list[str]]) -> None:
    from kvdistill.jobs.__main__ import main

    folder, done = run
    assert main(folder, "training") == 0
    (folder / "model/weights").write_text("x")
    assert main(folder, "evaluation") == 1
    assert "weights is altered since it was built" in read_json(folder / "status.json")["error"]
    assert done == ["trained"]


def test_scoring_needs_a_trained_student_and_training_a_run(run: tuple[Path, list[str]]) -> None:
    from kvdistill.jobs.__main__ import main

    folder, done = run
    assert main(folder, "evaluation") == 2
    assert (
        "is not trained, so there is nothing to score" in read_json(folder / "status.json")["error"]
    )
    split = folder.parents[3] / "artifacts/split-1"
    split.mkdir(parents=True)
    frozen = {"kind": "split", "needs": {}, "recipe": {}}
    (split / "config.yaml").write_text(seal_recipe(frozen))
    assert main(split, "training") == 2
    assert done == []


def test_items_are_scored_by_however_many_ranks_there_are(run: tuple[Path, list[str]]) -> None:
    from kvdistill.errors import ConfigError
    from kvdistill.jobs.__main__ import check_job_kind
    from kvdistill.jobs.rendezvous import Ranks
    from kvdistill.plan.frozen_recipe import read_recipe

    folder, _ = run
    node = read_recipe(folder)
    with pytest.raises(ConfigError, match="WORLD_SIZE is 2"):
        check_job_kind(node, folder, Ranks(0, 2), "training")
    (folder / "trained.json").write_text("{}")
    check_job_kind(node, folder, Ranks(0, 2), "evaluation")
