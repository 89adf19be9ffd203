"""Items on which two arms disagree, with what they wrote: the drill-down behind a difference.

Everything here was written by a model and is hostile until it is shown as text.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq

from kvdistill import layout
from kvdistill.report.page_data import Disagreement, Disagreements
from kvdistill.report.sections.choose_arms import choose_primary_arm
from kvdistill.sanitise import escape_and_truncate
from kvdistill.stats.analysis import Analysis
from kvdistill.stats.compare import average_correctness, explain_unpaired, match_runs
from kvdistill.stats.study import Run

MAX_ITEMS = 60
TEXT_COLUMNS = ("question", "target", "response")


class Candidate(NamedTuple):
    """An item that the two arms answered differently; sorts by how much, then by task and place."""

    negative_size: float
    order: int
    task: str
    place: int
    arm_right: float
    baseline_right: float


def find_disagreements(analysis: Analysis, tasks: Sequence[str]) -> Disagreements | None:
    """The primary pair's disagreements, by task; None where the pair cannot be compared."""
    label = choose_primary_arm(analysis)
    if label is None:
        return None
    arms, baselines, _, _ = match_runs(
        analysis.question.arms[label], analysis.question.arms[analysis.baseline]
    )
    if explain_unpaired([*arms, *baselines], tasks):
        return None
    candidates: list[Candidate] = []
    for order, task in enumerate(tasks):
        ours, theirs = average_correctness(task, arms), average_correctness(task, baselines)
        for i in np.flatnonzero(ours != theirs).tolist():
            size, ours_i, theirs_i = abs(ours[i] - theirs[i]), float(ours[i]), float(theirs[i])
            candidates.append(Candidate(-float(size), order, task, i, ours_i, theirs_i))
    chosen = choose_items(candidates, tasks)
    keys = {(c.task, get_item_id(arms[0], c.task, c.place)) for c in chosen}
    # One run's texts stand for each side; the shares say how its other runs did.
    arm_texts, baseline_texts = read_item_texts(arms[0], keys), read_item_texts(baselines[0], keys)
    items = []
    for c in sorted(chosen, key=lambda c: (c.order, c.negative_size, c.place)):
        key = (c.task, get_item_id(arms[0], c.task, c.place))
        texts = merge_texts(arm_texts.get(key), baseline_texts.get(key))
        items.append(Disagreement(*key, c.arm_right, c.baseline_right, texts))
    wins = sum(c.arm_right > c.baseline_right for c in candidates)
    losses = sum(c.arm_right < c.baseline_right for c in candidates)
    return Disagreements(label, analysis.baseline, wins, losses, items)


def choose_items(candidates: Sequence[Candidate], tasks: Sequence[str]) -> list[Candidate]:
    """At most MAX_ITEMS: the tasks in turn, so that each has its share, largest first."""
    ranked = sorted(candidates)
    queues = [[c for c in ranked if c.task == task] for task in tasks]
    turns = [queue[k] for k in range(MAX_ITEMS) for queue in queues if k < len(queue)]
    return turns[:MAX_ITEMS]


def get_item_id(run: Run, task: str, place: int) -> str:
    """The id of an item by its place."""
    items = run.scores[task].items
    assert items is not None
    return str(items.ids[place])


def read_item_texts(run: Run, keys: set[tuple[str, str]]) -> dict[tuple[str, str], dict[str, str]]:
    """(task, item) -> the texts that the run kept; a private benchmark's items have none."""
    if not keys:
        return {}
    path = run.folder / layout.ITEMS
    columns = [name for name in TEXT_COLUMNS if name in pq.ParquetFile(path).schema_arrow.names]
    if not columns:
        return {}
    # The filter is by item alone and may let an id of another task through: asked for below.
    ids = sorted({item for _, item in keys})
    table = pq.read_table(path, columns=["task", "item", *columns], filters=[("item", "in", ids)])
    rows: list[dict[str, Any]] = table.to_pylist()
    return {
        (row["task"], row["item"]): {
            name: escape_and_truncate(str(row[name] or "")) for name in columns
        }
        for row in rows
        if (row["task"], row["item"]) in keys and row[columns[0]] is not None
    }


def merge_texts(
    arm: Mapping[str, str] | None, baseline: Mapping[str, str] | None
) -> dict[str, str]:
    """The question and target once, and each side's answer; empty where the arm kept nothing."""
    if arm is None:
        return {}
    texts = {name: arm[name] for name in ("question", "target") if arm.get(name)}
    return texts | {
        "arm": arm.get("response", ""),
        "baseline": (baseline or {}).get("response", ""),
    }
