"""From lm-eval's samples to the project's records: one item a document, one score a task."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any

from lm_eval.api.task import Task

from kvdistill.evaluate import aggregate
from kvdistill.evaluate.cached_lm import CachedLM
from kvdistill.evaluate.grading.extract import INVALID
from kvdistill.evaluate.item_texts import collect_texts
from kvdistill.evaluate.suite import Suite
from kvdistill.evaluate.task_data import hash_rows
from kvdistill.plan.task_files import BUILTIN, map_counterparts, read_task_metadata
from kvdistill.records import Item, TaskScore


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What one model scored on one suite."""

    items: list[Item]
    tasks: dict[str, TaskScore]
    macro: float | None
    """Unweighted mean over the suite's tasks; None where one is missing."""
    macro_by_subject: float | None
    """The same, each task being the mean over its subjects."""
    macro_normalised: float | None
    """The same, each task being normalised by chance."""
    spread: float | None
    """Standard deviation of the score over the suite's tasks."""
    gap: float | None
    """Score on training questions minus held-out ones; None unless the suite has both tasks."""
    missing: dict[str, str]
    """Tasks without data, and why."""
    data: dict[str, str]
    """Sha256 of each task's rows."""
    batches: dict[str, list[int]] = field(compare=False)
    """Kind of request -> the sizes of batch that were computed; none where all was cached."""


def collect_results(
    suite: Suite, tasks: Mapping[str, Task], missing: dict[str, str],
    samples: Mapping[str, list[dict[str, Any]]], lm: CachedLM,
) -> Evaluation:  # fmt: skip
    """Items and scores of every task that has data, and the macro averages where all have."""
    by_task: dict[str, TaskScore] = {}
    items: list[Item] = []
    hashes: dict[str, str] = {}
    for name in suite.all_tasks:
        keys = list_task_keys(name, tasks)
        if not keys:
            continue
        metric = next(iter(tasks[keys[0]].aggregation()))
        rows = [
            row
            for key in keys
            for row in _list_items(name, key, tasks[key], metric, samples[key], lm)
        ]
        task_items = [item for item, _ in rows]
        score = aggregate.score_task(metric, task_items, {item.item: c for item, c in rows})
        by_task[name] = replace(score, marked=measure_marks(name, keys, tasks, samples))
        items += task_items
        hashes[name] = hash_task_rows(name, tasks)
    return Evaluation(
        items=items,
        tasks=by_task,
        macro=aggregate.compute_macro_average(by_task, suite.tasks),
        macro_by_subject=aggregate.compute_macro_average(by_task, suite.tasks, "by_subject"),
        macro_normalised=aggregate.compute_macro_average(by_task, suite.tasks, "normalised"),
        spread=aggregate.compute_task_deviation(by_task, suite.tasks),
        gap=aggregate.compute_generalisation_gap(by_task),
        missing=missing,
        data=hashes,
        batches=lm.batches,
    )


def measure_marks(
    name: str, keys: Sequence[str], tasks: Mapping[str, Task],
    samples: Mapping[str, list[dict[str, Any]]],
) -> float | None:  # fmt: skip
    """Share of the outputs with the task's mark; lm-eval's own task has that of ours beside it."""
    if tasks[keys[0]].OUTPUT_TYPE != "generate_until":
        return None
    own = map_counterparts().get(name.removeprefix(BUILTIN), name)
    mark = (read_task_metadata(own) or {}).get("mark")
    if mark is None:
        return None
    return fmean(mark in sample["resps"][0][0] for key in keys for sample in samples[key])


def list_task_keys(name: str, tasks: Mapping[str, Task]) -> list[str]:
    """Keys in `tasks` of one task of the suite: those of its members for a group of lm-eval's."""
    return [key for key in tasks if key == name or key.startswith(f"{name}/")]


def hash_task_rows(name: str, tasks: Mapping[str, Task]) -> str:
    """Sha256 over the rows of a suite's task."""
    return hash_rows(doc for key in list_task_keys(name, tasks) for doc in tasks[key].eval_docs)


def make_item_id(key: str, doc: Mapping[str, Any], number: int) -> str:
    """The id of a document: its own `id`, or `member/number` for one of a task of lm-eval's."""
    if ":" not in key:
        return doc["id"]
    _, _, member = key.partition("/")
    return f"{member}/{number}".removeprefix("/")


def _list_items(
    name: str, key: str, task: Task, metric: str, samples: list[dict[str, Any]], lm: CachedLM
) -> Iterator[tuple[Item, float]]:
    """Each document's item with its chance; `alternative` is its score by the second filter."""
    # lm-eval gives a sample for each document and filter; the first filter decides.
    requests = {request.doc_id: request for request in task.instances}
    primary, *others = dict.fromkeys(sample["filter"] for sample in samples)
    alternative = {s["doc_id"]: s[metric] for s in samples if s["filter"] in others[:1]}
    is_generated = task.OUTPUT_TYPE == "generate_until"
    for sample in samples:
        if sample["filter"] != primary:
            continue
        item = Item(
            task=name,
            item=make_item_id(key, sample["doc"], sample["doc_id"]),
            doc_hash=sample["doc_hash"],
            prompt_hash=sample["prompt_hash"],
            correct=float(sample[metric]),
            unparsed=is_generated and sample["filtered_resps"][0] == INVALID,
            truncated=is_generated and lm.was_truncated(requests[sample["doc_id"]]),
            empty=is_generated and not sample["resps"][0][0].strip(),
            alternative=alternative.get(sample["doc_id"]),
            **collect_texts(key, task, sample),
        )
        yield item, _compute_item_chance(sample, is_generated)


def _compute_item_chance(sample: Mapping[str, Any], is_generated: bool) -> float:
    """The document's own `chance`; else 0 for a free answer, one over the choices otherwise."""
    own = sample["doc"].get("chance")
    return own if own is not None else 0.0 if is_generated else 1 / len(sample["arguments"])
