"""Task metrics in the middle of training: the suite's own path, on a few rows of val and of train.

Benchmarks stay untouched until the end: only tasks that are made of the project's own rows are
asked here, and their questions come from the parts that training may look at.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from kvdistill.config.build import build_node
from kvdistill.evaluate.harness import evaluate, load_tasks
from kvdistill.evaluate.isolation import quiet
from kvdistill.evaluate.leak_check import drawn_from
from kvdistill.evaluate.suite import Suite
from kvdistill.models import load
from kvdistill.train.validation import ScoreTasks

PARTS = {"val": "val.jsonl", "train": "train_student.jsonl"}
"""Split of the curves -> file of the split artefact."""
GENERAL = "test_questions"
"""The task of all the project's own rows, for a suite of benchmarks alone."""


def scorer(config: Mapping[str, Any], needs: Mapping[str, Path]) -> ScoreTasks:
    """Scores a student: split -> {macro, each task}; it is left as it was, random states too."""
    tokenizer = load.load_tokenizer(config["student"], "student", needs.get("student"))
    suite = small(
        build_node("tasks", config["tasks"]), needs["split"], config["train"]["eval_items"]
    )

    def score(student: PreTrainedModel) -> dict[str, dict[str, float]]:
        found = {}
        for part, file in PARTS.items():
            scored = evaluate(student, tokenizer, suite, {"test": needs["split"] / file})
            tasks = {name: task.score for name, task in scored.tasks.items()}
            found[part] = ({} if scored.macro is None else {"macro": scored.macro}) | tasks
        return found

    return score


def small(suite: Suite, split: Path, items: int) -> Suite:
    """The suite's tasks that are made of held-out rows of the split, on a few rows each."""
    with quiet():
        tasks, _ = load_tasks(replace(suite, beside=(), limit=1, shots={}), own(split))
    drawn = [name for name in suite.tasks if drawn_from(name, tasks) == "test"]
    return replace(suite, tasks=drawn or [GENERAL], beside=(), limit=items, shots={}, backend="hf")


def own(split: Path) -> dict[str, Path]:
    """The rows that stand for test rows here."""
    return {"test": split / PARTS["val"]}
