"""Items on which two arms disagree, with what they wrote: the drill-down behind a difference.

Everything here was written by a model and is hostile until it is shown as text.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from kvdistill.sanitise import escape_and_truncate
from kvdistill.stats.analysis import Analysis
from kvdistill.stats.compare import match, mean_answers, not_paired
from kvdistill.stats.study import MACRO, Run

MAX_ITEMS = 60
TEXT_COLUMNS = ("question", "target", "response")


@dataclass(frozen=True)
class Disagreement:
    """One item: the share of runs of each side that got it right, and one run's texts."""

    task: str
    item: str
    arm_right: float
    baseline_right: float
    texts: Mapping[str, str]
    """question, target, arm, baseline, where the runs kept them."""


@dataclass(frozen=True)
class Disagreements:
    """The items of one pair of arms."""

    arm: str
    baseline: str
    wins: int
    losses: int
    items: Sequence[Disagreement]
    has_texts: bool


def find_disagreements(analysis: Analysis, tasks: Sequence[str]) -> Disagreements | None:
    """The primary pair's disagreements, largest first; None where the pair cannot be compared."""
    label = choose_primary_arm(analysis)
    if label is None:
        return None
    arm, baseline = analysis.question.arms[label], analysis.question.arms[analysis.baseline]
    a, b, _, _ = match(arm, baseline)
    if not_paired([*a, *b], tasks):
        return None
    found: list[tuple[float, int, str, int, float, float]] = []
    wins = losses = 0
    for order, task in enumerate(tasks):
        x, y = mean_answers(task, a), mean_answers(task, b)
        wins, losses = wins + int((x > y).sum()), losses + int((x < y).sum())
        found += [
            (-abs(float(x[i] - y[i])), order, task, i, float(x[i]), float(y[i]))
            for i in np.flatnonzero(x != y).tolist()
        ]
    # A task's share of the list is fair: its largest disagreements first, tasks in turn.
    ranked = sorted(found)
    turns = {task: [f for f in ranked if f[2] == task] for task in tasks}
    mixed = [t[k] for k in range(MAX_ITEMS) for t in turns.values() if k < len(t)][:MAX_ITEMS]
    wanted = {(f[2], get_item_id(a[0], f[2], f[3])) for f in mixed}
    left, right = read_texts(a[0], wanted), read_texts(b[0], wanted)
    shown = []
    for _, _, task, i, right_a, right_b in sorted(mixed, key=lambda f: (f[1], f[0], f[3])):
        key = (task, get_item_id(a[0], task, i))
        shown.append(
            Disagreement(task, key[1], right_a, right_b, merge_texts(left.get(key), right.get(key)))
        )
    return Disagreements(label, analysis.baseline, wins, losses, shown, bool(left))


def choose_primary_arm(analysis: Analysis) -> str | None:
    """The primary arm, else the best one that can be compared."""
    primary = str((analysis.question.primary or {}).get("arm"))
    if primary in analysis.comparisons and analysis.comparisons[primary].macro.estimate is not None:
        return primary
    means = {
        label: analysis.table.rows[label][MACRO].mean
        for label, comparison in analysis.comparisons.items()
        if comparison.macro.estimate is not None
    }
    return max(means, key=lambda label: means[label] or 0.0) if means else None


def get_item_id(run: Run, task: str, index: int) -> str:
    """An item's id."""
    items = run.scores[task].items
    assert items is not None
    return str(items.ids[index])


def read_texts(run: Run, keys: set[tuple[str, str]]) -> dict[tuple[str, str], dict[str, str]]:
    """(task, item) -> the texts that the run kept; a private benchmark's items have none."""
    if not keys:
        return {}
    path = run.folder / "items.parquet"
    columns = [name for name in TEXT_COLUMNS if name in pq.ParquetFile(path).schema_arrow.names]
    if not columns:
        return {}
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
    """The question once, and each side's answer."""
    if arm is None:
        return {}
    texts = {name: arm[name] for name in ("question", "target") if arm.get(name)}
    return texts | {
        "arm": arm.get("response", ""),
        "baseline": (baseline or {}).get("response", ""),
    }
