"""lm-eval's own tasks through our harness, on a local copy."""

import json
from pathlib import Path

import datasets
import lm_eval.tasks
import pytest
from lm_eval.tasks import TaskManager

from kvdistill.errors import UserError
from kvdistill.evaluate import builtin
from kvdistill.evaluate.harness import evaluate
from kvdistill.evaluate.suite import Suite
from tests.evaluate.tiny_models import make_tiny_model

HEADER = """---
configs:
- config_name: {config}
  data_files: [{{split: {split}, path: {path}}}]
---
"""


@pytest.fixture(autouse=True)
def few_tasks(monkeypatch, tmp_path):
    """An index of two folders in place of fifteen thousand entries, and a cache of its own."""
    folder = Path(lm_eval.tasks.__file__).parent
    manager = TaskManager(
        include_path=[folder / "truthfulqa", folder / "cmmlu"], include_defaults=False
    )
    monkeypatch.setattr(builtin, "_load_manager", lambda: manager)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.fixture
def root(benchmarks):
    (benchmarks / "truthfulqa/README.md").write_text(
        HEADER.format(
            config="multiple_choice", split="validation", path="multiple_choice/validation.jsonl"
        )
    )
    return benchmarks


def evaluate_both(root, tokenizer, ours, theirs):
    suite = Suite(name="b", tasks=[ours, theirs], batch_size=4, data_root=str(root))
    return evaluate(make_tiny_model(tokenizer), tokenizer, suite, {})


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


def test_a_limit_takes_the_first_items_of_lm_evals_own(root, tokenizer):
    name = "builtin:truthfulqa_mc1"
    suite = Suite(name="b", tasks=[name], limit=2, data_root=str(root))
    result = evaluate(make_tiny_model(tokenizer), tokenizer, suite, {})
    assert [item.item for item in result.items] == ["0", "1"]
    assert result.tasks[name].chance == pytest.approx(1 / 3)


def test_a_copy_edited_in_place_is_read_anew(root, tokenizer):
    name = "builtin:truthfulqa_mc1"
    suite = Suite(name="b", tasks=[name], limit=1, data_root=str(root))
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
    assert {builtin._find_repo(leaf, builtin._load_manager()) for leaf in leaves} == {
        "haonan-li/cmmlu"
    }


def test_an_unknown_name_is_refused():
    with pytest.raises(UserError, match="lm-eval has no task nonesuch"):
        builtin.load_builtin("builtin:nonesuch", None)


def test_data_without_a_local_copy_is_missing_by_name(tmp_path, tokenizer, nano_records):
    suite = Suite(
        name="b", tasks=["nano_truth"], beside=["builtin:truthfulqa_mc1"], data_root=str(tmp_path)
    )
    result = evaluate(make_tiny_model(tokenizer), tokenizer, suite, {"test": nano_records})
    assert "no copy of truthfulqa/truthful_qa" in result.missing["builtin:truthfulqa_mc1"]
    assert result.macro is not None  # it stands beside the average, not in it
