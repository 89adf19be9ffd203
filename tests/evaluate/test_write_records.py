"""What a scored model leaves on disk, and the proof that its items were checked."""

import json
from pathlib import Path

import pandas as pd
import pytest

from kvdistill.errors import ArtifactError
from kvdistill.evaluate import write_records
from kvdistill.evaluate.harness import load_tasks
from kvdistill.evaluate.isolation import silence_lm_eval
from kvdistill.evaluate.leak_check import locate_scored_rows
from kvdistill.evaluate.results import hash_task_rows
from kvdistill.evaluate.suite import Suite
from kvdistill.records import EFFICIENCY_KEYS
from tests.evaluate.tiny_models import make_tiny_model

TASKS = {
    "_target_": "kvdistill.evaluate.suite.Suite", "name": "t",
    "tasks": ["nano_choice", "nano_exam"], "beside": ["train_questions", "test_questions"],
    "limit": {"train_questions": 7, "test_questions": 7}, "max_gen_toks": 4,
}  # fmt: skip
TAINTED = {
    "nano_choice": ["nano_choice-0", "nano_choice-1"], "nano_exam": [],
    "test_questions": [], "train_questions": [],
}  # fmt: skip

LEDGER = {
    "steps": 3, "train_s": 2.0, "real_tokens": 50, "peak_bytes": 7, "other": 1,
    "convergence": {"score": "macro", "step": 2, "train_s": 1.5},
}  # fmt: skip


@pytest.fixture
def needs(tmp_path, nano_records):
    split, validation = tmp_path / "split", tmp_path / "validation"
    split.mkdir()
    validation.mkdir()
    for name in ("test", "train_student"):
        (split / f"{name}.jsonl").write_bytes(nano_records.read_bytes())
    suite = Suite(**{key: value for key, value in TASKS.items() if key != "_target_"})
    with silence_lm_eval():
        tasks, _ = load_tasks(suite, locate_scored_rows(split))
    report = {
        "tasks_sha256": {name: hash_task_rows(name, tasks) for name in suite.all_tasks},
        "tainted": TAINTED,
    }
    (validation / "validation_report.json").write_text(json.dumps(report))
    return {"split": split, "validation": validation}


def write_run(needs: dict[str, Path], tokenizer, folder: Path, **config):
    folder.mkdir()
    model = make_tiny_model(tokenizer)
    full = {"tasks": TASKS, **config}
    scored = write_records.score_model(model, tokenizer, full, needs, lambda *_: None)
    write_records.write_run_records(
        model, make_tiny_model(tokenizer), tokenizer, scored, full, needs, folder, LEDGER
    )
    return json.loads((folder / "results.json").read_text())


@pytest.mark.integration
def test_results_hold_clean_scores_spread_gap_and_speed(needs, tokenizer, tmp_path):
    results = write_run(needs, tokenizer, tmp_path / "run")
    items = pd.read_parquet(tmp_path / "run/items.parquet")
    choice = items[items.task == "nano_choice"]
    clean = choice[~choice.item.isin(TAINTED["nano_choice"])]
    assert list(results["tasks"]) == TASKS["tasks"]
    assert list(results["beside"]) == TASKS["beside"]
    assert results["tasks"]["nano_choice"]["tainted"] == 2
    assert results["tasks"]["nano_choice"]["clean"] == pytest.approx(clean.correct.mean())
    assert results["tasks"]["nano_exam"]["clean"] == results["tasks"]["nano_exam"]["score"]
    assert results["macro_clean"] == pytest.approx(
        sum(results["tasks"][task]["clean"] for task in TASKS["tasks"]) / 2
    )
    scores = [results["tasks"][task]["score"] for task in TASKS["tasks"]]
    assert results["generalisation"]["spread"] == pytest.approx(abs(scores[0] - scores[1]) / 2)
    assert results["generalisation"]["gap"] == 0.0
    assert results["efficiency"]["tokens_per_second"] > 0
    efficiency = results["efficiency"]
    assert efficiency["raw_tokens_per_second"] > 0
    assert efficiency["parameters"] == efficiency["raw_parameters"]
    assert efficiency["train_tokens_per_second"] == 25
    assert (efficiency["converged_step"], efficiency["converged_s"]) == (2, 1.5)
    assert (efficiency["steps"], efficiency["peak_bytes"]) == (3, 7)
    # A key that the record has and the list has not would be refused in a claim as a slip.
    assert {k for k, v in efficiency.items() if isinstance(v, int | float)} == set(EFFICIENCY_KEYS)


def test_items_other_than_those_checked_are_refused(needs, tokenizer, tmp_path):
    path = needs["split"] / "test.jsonl"
    path.write_text(path.read_text().replace("How much is 3", "How much is 33"))
    with pytest.raises(ArtifactError, match="items of nano_choice are not those that were checked"):
        write_run(needs, tokenizer, tmp_path / "run")
    assert not (tmp_path / "run/results.json").exists()


@pytest.mark.integration
def test_only_a_model_that_is_scored_as_it_is_is_asked_lm_evals_own_tasks(
    needs, tokenizer, tmp_path, monkeypatch
):
    theirs = {"nano_choice": {"task": "arc", "shots": 0, "score": 0.5}}
    monkeypatch.setattr(write_records, "score_counterparts", lambda *_: theirs)
    tasks = {**TASKS, "counterparts": True}
    for trained, tasks_node, expected in (
        (False, tasks, theirs), (True, tasks, {}), (False, TASKS, {}),
    ):  # fmt: skip
        folder = tmp_path / f"run-{trained}-{len(tasks_node)}"
        results = write_run(needs, tokenizer, folder, tasks=tasks_node, trained=trained)
        assert results["counterparts"] == expected


@pytest.mark.integration
def test_a_task_many_of_whose_answers_were_cut_off_is_warned_of(needs, tokenizer, tmp_path, caplog):
    results = write_run(needs, tokenizer, tmp_path / "run")
    assert results["beside"]["test_questions"]["truncated"] > 0.1
    (line,) = [r.getMessage() for r in caplog.records if "test_questions" in r.getMessage()]
    assert "were cut off at the length limit" in line
    assert "tasks.max_gen_toks" in line
