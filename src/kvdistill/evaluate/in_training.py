"""Task metrics in the middle of training, on a few rows of val and of train.

They go the way of the final evaluation. Benchmarks stay untouched until the end: only tasks made of
the project's own rows are scored here, on rows of the parts that training may look at.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from kvdistill import preemption
from kvdistill.config.build import build_node
from kvdistill.evaluate.cached_lm import Progress
from kvdistill.evaluate.harness import LoadedTasks, evaluate, load_tasks
from kvdistill.evaluate.isolation import preserve_state, silence_lm_eval
from kvdistill.evaluate.leak_check import find_split_part
from kvdistill.evaluate.suite import Suite
from kvdistill.models import load
from kvdistill.plan.resources.evaluation_memory import DEFAULT_BATCH
from kvdistill.preemption import Preempted
from kvdistill.status import enter_phase
from kvdistill.train.validation import ScoreTasks

PART_FILES = {"val": "val.jsonl", "train": "train_student.jsonl"}
"""Split of the curves -> file of the split artefact."""
ALL_QUESTIONS = "test_questions"
"""The task of all the project's own rows, for a suite of benchmarks alone."""


def make_task_scorer(config: Mapping[str, Any], needs: Mapping[str, Path]) -> ScoreTasks:
    """A function from a student to {part of the split: {"macro" and each task: score}}.

    It leaves the student, and every random state, as they were. The rows are read when it is first
    called, and no more: a split does not change while a run trains. Where this process is asked to
    make room it raises Preempted after the answers that are being written.
    """
    tokenizer = load.load_tokenizer(config["student"], "student", needs.get("student"))
    suite = shrink_suite(
        build_node("tasks", config["tasks"]), needs["split"], config["train"]["eval_items"]
    )
    loaded_by_part: dict[str, LoadedTasks] = {}

    def score(student: PreTrainedModel) -> dict[str, dict[str, float]]:
        scores_by_part = {}
        for part, file in PART_FILES.items():
            with enter_phase(f"tasks on rows of {part}") as progress:
                rows = {"test": needs["split"] / file}
                if part not in loaded_by_part:
                    with preserve_state(student, tokenizer), silence_lm_eval():
                        loaded_by_part[part] = load_tasks(suite, rows)
                evaluation = evaluate(
                    student, tokenizer, suite, rows, partial(report_or_end, progress),
                    loaded=loaded_by_part[part],
                )  # fmt: skip
            tasks = {name: task.score for name, task in evaluation.tasks.items()}
            scores_by_part[part] = (
                {} if evaluation.macro is None else {"macro": evaluation.macro}
            ) | tasks
        return scores_by_part

    return score


def report_or_end(progress: Progress, done: int, total: int) -> None:
    """Reports progress. Raises Preempted where this process is to make room."""
    if preemption.is_requested():
        raise Preempted
    progress(done, total)


def shrink_suite(suite: Suite, split: Path, items: int) -> Suite:
    """The suite's tasks that are made of test rows of the split, on `items` rows each.

    Where it has none: the task of all the project's own questions. Always with transformers.
    """
    with silence_lm_eval():
        # None of a benchmark's examples is looked for: it is only told where its rows come from.
        bare = replace(suite, beside=(), limit=1, shots=dict.fromkeys(suite.tasks, 0))
        tasks, _ = load_tasks(bare, locate_val_rows(split))
    own_tasks = [name for name in suite.tasks if find_split_part(name, tasks) == "test"]
    # Another engine would load a copy of the weights, while these change at every step; and what
    # the device has free now, training takes again.
    batch_size = DEFAULT_BATCH if suite.batch_size == "auto" else suite.batch_size
    return replace(
        suite, tasks=own_tasks or [ALL_QUESTIONS], beside=(), limit=items, shots={}, backend="hf",
        batch_size=batch_size,
    )  # fmt: skip


def locate_val_rows(split: Path) -> dict[str, Path]:
    """The file read in place of the test rows, which training must not see."""
    return {"test": split / PART_FILES["val"]}
