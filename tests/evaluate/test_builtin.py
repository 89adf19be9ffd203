"""lm-eval's own tasks through our harness, on a local copy."""

import dataclasses
import json
from pathlib import Path

import lm_eval.tasks
import pytest
from lm_eval.tasks import TaskManager

from kvdistill.errors import UserError
from kvdistill.evaluate import builtin
from kvdistill.evaluate.counterparts import score_counterparts
from kvdistill.evaluate.harness import evaluate
from kvdistill.evaluate.suite import Suite
from kvdistill.evaluate.task_data import read_jsonl
from kvdistill.plan.task_files import (
    BUILTIN,
    BUILTIN_ANSWER_TOKENS,
    map_counterparts,
    read_answer_limit,
)
from tests.evaluate.tiny_models import make_tiny_model
from tests.hub_server import open_hub, write_parquet


@pytest.fixture(autouse=True)
def few_tasks(monkeypatch):
    """An index of three folders in place of fifteen thousand entries."""
    folder = Path(lm_eval.tasks.__file__).parent
    manager = TaskManager(
        include_path=[folder / "truthfulqa", folder / "cmmlu", folder / "gsm8k"],
        include_defaults=False,
    )
    monkeypatch.setattr(builtin, "_load_manager", lambda: manager)


@pytest.fixture
def root(benchmarks):
    return benchmarks


def evaluate_both(root, tokenizer, ours, theirs):
    suite = Suite(name="b", tasks=[ours, theirs], batch_size=4, data_root=root and str(root))
    return evaluate(make_tiny_model(tokenizer), tokenizer, suite, {})


@pytest.mark.integration
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [("truthfulqa", "builtin:truthfulqa_mc1"), ("truthfulqa_mc2", "builtin:truthfulqa_mc2")],
)
def test_ours_and_lm_evals_agree_item_by_item_on_one_prompt(root, tokenizer, ours, theirs):
    result = evaluate_both(root, tokenizer, ours, theirs)
    by_prompt = [
        {item.prompt_hash: item.correct for item in result.items if item.task == task}
        for task in (ours, theirs)
    ]
    assert len(by_prompt[0]) == 6
    assert by_prompt[0] == pytest.approx(by_prompt[1])
    assert result.macro is not None


def test_a_limit_takes_the_rows_that_our_own_task_takes(root, tokenizer):
    entry = "builtin:truthfulqa_mc1"
    suite = Suite(name="b", tasks=["truthfulqa", entry], limit=2, data_root=str(root))
    result = evaluate(make_tiny_model(tokenizer), tokenizer, suite, {})
    asked = [{i.prompt_hash for i in result.items if i.task == name} for name in suite.tasks]
    assert len(asked[0]) == 2
    assert asked[0] == asked[1]
    assert result.tasks[entry].chance == pytest.approx(1 / 3)


@pytest.mark.integration
def test_the_letters_of_a_subject_are_asked_alike_with_the_same_number_of_shots(root, tokenizer):
    shots = {"cmmlu": 3, "builtin:cmmlu": 3}
    suite = Suite(
        name="b", tasks=["cmmlu", "builtin:cmmlu"], limit=67, shots=shots, data_root=str(root)
    )
    result = evaluate(make_tiny_model(tokenizer), tokenizer, suite, {})
    asked = [{i.prompt_hash: i.correct for i in result.items if i.task == t} for t in suite.tasks]
    assert len(asked[0]) == 67
    assert asked[0] == asked[1]


def test_rows_of_the_hub_are_read_from_its_files(benchmarks, tokenizer, tmp_path, monkeypatch):
    with open_hub(tmp_path, monkeypatch) as hub:
        rows = read_jsonl(benchmarks / "truthfulqa/multiple_choice/validation.jsonl")
        place = hub.folder / "truthfulqa/truthful_qa/multiple_choice"
        write_parquet(place / "validation-00000-of-00001.parquet", rows)
        result = evaluate_both(None, tokenizer, "truthfulqa", "builtin:truthfulqa_mc1")
    assert not result.missing
    assert len(result.items) == 12


def test_a_copy_edited_in_place_is_read_anew(root, tokenizer):
    name = "builtin:truthfulqa_mc1"
    suite = Suite(name="b", tasks=[name], data_root=str(root))
    model = make_tiny_model(tokenizer)
    first = evaluate(model, tokenizer, suite, {}).items[0]
    path = root / "truthfulqa/multiple_choice/validation.jsonl"
    original = path.read_text(encoding="utf-8")
    rows = [json.loads(line) for line in original.splitlines()]
    rows[0]["question"] = rows[0]["question"].replace("What", "Whut")
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    second = evaluate(model, tokenizer, suite, {}).items[0]
    path.write_text(original, encoding="utf-8")
    assert first.prompt_hash != second.prompt_hash


def test_a_group_is_one_task_whose_subjects_are_its_members():
    leaves = builtin._list_leaf_tasks("cmmlu", builtin._load_manager())
    assert len(leaves) == 67
    assert builtin.find_own_task("builtin:cmmlu") == "cmmlu"


def test_a_plan_knows_how_lm_evals_counterparts_are_answered(monkeypatch):
    folder = Path(lm_eval.tasks.__file__).parent
    names = ("truthfulqa", "cmmlu", "gsm8k", "hendrycks_math", "bbh/cot_fewshot", "gpqa", "ceval")
    manager = TaskManager(include_path=[folder / each for each in names], include_defaults=False)
    monkeypatch.setattr(builtin, "_load_manager", lambda: manager)
    assert len(map_counterparts()) == 8
    for theirs in map_counterparts():
        task = builtin._read_first_leaf(theirs)
        tokens = (task.get("generation_kwargs") or {}).get("max_gen_toks", BUILTIN_ANSWER_TOKENS)
        expected = tokens if task["output_type"] == "generate_until" else 0
        assert read_answer_limit(BUILTIN + theirs) == expected, theirs


def test_an_unknown_name_is_refused():
    with pytest.raises(UserError, match="lm-eval has no task nonesuch"):
        builtin.load_builtin("builtin:nonesuch", Suite(name="s", tasks=["gsm8k"]))


def test_data_without_a_local_copy_is_missing_by_name(tmp_path, tokenizer, nano_records):
    suite = Suite(
        name="b", tasks=["nano_truth"], beside=["builtin:truthfulqa_mc1"], data_root=str(tmp_path)
    )
    result = evaluate(make_tiny_model(tokenizer), tokenizer, suite, {"test": nano_records})
    assert (
        "no truthfulqa/multiple_choice/validation.jsonl" in result.missing["builtin:truthfulqa_mc1"]
    )
    assert result.macro is not None  # it stands beside the average, not in it


@pytest.mark.integration
def test_lm_evals_own_tasks_stand_beside_ours_with_their_difference(root, tokenizer):
    suite = Suite(name="c", tasks=["truthfulqa", "cmmlu", "gsm8k"], limit=67, data_root=str(root))
    suite = dataclasses.replace(suite, shots={"gsm8k": 0}, counterparts=True)
    model = make_tiny_model(tokenizer)
    ours = evaluate(model, tokenizer, suite, {})
    facts = score_counterparts(model, tokenizer, suite)
    assert [facts[name]["task"] for name in suite.tasks] == ["truthfulqa_mc1", "cmmlu", "gsm8k"]
    assert [facts[name]["shots"] for name in suite.tasks] == [0, 5, 5]
    for name in ("truthfulqa", "cmmlu"):
        assert facts[name]["score"] == pytest.approx(ours.tasks[name].score)
        assert facts[name]["n"] == ours.tasks[name].n
    assert {"score", "alternative", "n", "unparsed", "truncated"} <= facts["gsm8k"].keys()


def test_what_lm_eval_cannot_score_is_named_and_costs_no_score(root, tokenizer):
    suite = Suite(name="c", tasks=["cmmlu"], limit=2, max_length=40, data_root=str(root))
    facts = score_counterparts(make_tiny_model(tokenizer), tokenizer, suite)
    assert "does not fit into tasks.max_length=40" in facts["cmmlu"]["missing"]
    assert "score" not in facts["cmmlu"]
