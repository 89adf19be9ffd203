"""Which tasks are asked in the middle of training, and of which rows."""

import pytest
import torch

from kvdistill.evaluate import in_training
from kvdistill.evaluate.suite import Suite
from kvdistill.preemption import Preempted
from tests.evaluate.tiny_models import make_tiny_model


def write_split(tmp_path, nano_records):
    folder = tmp_path / "split"
    folder.mkdir()
    rows = nano_records.read_text()
    # Other rows in each part; no test.jsonl at all: it must not be opened.
    for name in ("val", "train_student"):
        (folder / f"{name}.jsonl").write_text(rows.replace("How much is", f"{name}: how much is"))
    return folder


def test_tasks_of_the_projects_own_rows_are_asked_of_val_and_train(
    tmp_path, nano_records, tokenizer, monkeypatch
):
    config = {
        "student": {}, "train": {"eval_items": 5},
        "tasks": {"_target_": "kvdistill.evaluate.suite.Suite", "name": "t", "max_gen_toks": 4,
                  "tasks": ["nano_choice", "nano_logic"], "beside": ["train_questions"],
                  "limit": {"train_questions": 2}, "shots": {}},
    }  # fmt: skip
    monkeypatch.setattr(in_training.load, "load_tokenizer", lambda *_: tokenizer)
    calls = []
    real_evaluate = in_training.evaluate

    def spy(model, reads, suite, data, progress, loaded):
        calls.append((suite.tasks, suite.get_item_limit("nano_choice"), data["test"].name))
        return real_evaluate(model, reads, suite, data, progress, loaded=loaded)

    monkeypatch.setattr(in_training, "evaluate", spy)
    model = make_tiny_model(tokenizer).train()
    state = torch.get_rng_state()
    scores_by_part = in_training.make_task_scorer(
        config, {"split": write_split(tmp_path, nano_records)}
    )(model)
    assert model.training
    assert torch.equal(state, torch.get_rng_state())
    tasks = ["nano_choice", "nano_logic"]
    assert calls == [(tasks, 5, "val.jsonl"), (tasks, 5, "train_student.jsonl")]
    assert set(scores_by_part) == {"val", "train"}
    for scores in scores_by_part.values():
        assert scores["macro"] == sum(scores[task] for task in tasks) / 2


def test_scoring_ends_after_an_answer_where_room_is_asked_for_and_leaves_the_student_as_it_was(
    tmp_path, nano_records, tokenizer, monkeypatch
):
    config = {
        "student": {}, "train": {"eval_items": 5},
        "tasks": {"_target_": "kvdistill.evaluate.suite.Suite", "name": "t", "max_gen_toks": 4,
                  "tasks": ["nano_choice"], "beside": [], "limit": {}, "shots": {}},
    }  # fmt: skip
    monkeypatch.setattr(in_training.load, "load_tokenizer", lambda *_: tokenizer)
    monkeypatch.setattr(in_training.preemption, "is_requested", lambda: True)
    model = make_tiny_model(tokenizer).train()
    state = torch.get_rng_state()
    with pytest.raises(Preempted):
        in_training.make_task_scorer(config, {"split": write_split(tmp_path, nano_records)})(model)
    assert model.training
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.integration
def test_rows_are_read_once_and_scores_are_those_of_rows_that_are_read_anew(
    tmp_path, nano_records, tokenizer, monkeypatch
):
    config = {
        "student": {}, "train": {"eval_items": 4},
        "tasks": {"_target_": "kvdistill.evaluate.suite.Suite", "name": "t", "max_gen_toks": 4,
                  "tasks": ["nano_choice", "nano_logic"], "beside": [], "limit": {}, "shots": {}},
    }  # fmt: skip
    monkeypatch.setattr(in_training.load, "load_tokenizer", lambda *_: tokenizer)
    needs = {"split": write_split(tmp_path, nano_records)}
    reads = []
    real_load, real_evaluate = in_training.load_tasks, in_training.evaluate
    evaluations = []

    def load(suite, rows):
        reads.append(rows["test"].name)
        return real_load(suite, rows)

    def evaluate(*given, **more):
        evaluation = real_evaluate(*given, **more)
        evaluations.append(evaluation)
        return evaluation

    score = in_training.make_task_scorer(config, needs)
    monkeypatch.setattr(in_training, "load_tasks", load)
    monkeypatch.setattr(in_training, "evaluate", evaluate)
    models = [make_tiny_model(tokenizer, seed=seed) for seed in (0, 1)]
    again = [score(model) for model in (*models, *models)]
    assert reads == ["val.jsonl", "train_student.jsonl"]
    anew = [in_training.make_task_scorer(config, needs)(model) for model in models]
    assert again == [*anew, *anew]
    assert evaluations[:4] == evaluations[4:8] == evaluations[8:]
    assert evaluations[:2] != evaluations[2:4]


def test_a_suite_of_benchmarks_leaves_them_alone(tmp_path, nano_records, benchmarks):
    suite = Suite(name="t", tasks=["gsm8k"], shots={"gsm8k": 2}, data_root=str(benchmarks))
    small = in_training.shrink_suite(suite, write_split(tmp_path, nano_records), 3)
    assert small.tasks == ["test_questions"]
    assert small.get_item_limit("test_questions") == 3
