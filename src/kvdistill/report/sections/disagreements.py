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

MOST_ITEMS = 60
TEXTS = ("question", "target", "response")


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
class Browser:
    """The items of one pair of arms."""

    arm: str
    baseline: str
    wins: int
    losses: int
    shown: Sequence[Disagreement]
    has_texts: bool


def browser(analysis: Analysis, tasks: Sequence[str]) -> Browser | None:
    """The primary pair's disagreements, largest first; None where the pair cannot be compared."""
    label = pair_of(analysis)
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
    mixed = [t[k] for k in range(MOST_ITEMS) for t in turns.values() if k < len(t)][:MOST_ITEMS]
    wanted = {(f[2], item_id(a[0], f[2], f[3])) for f in mixed}
    left, right = texts(a[0], wanted), texts(b[0], wanted)
    shown = []
    for _, _, task, i, right_a, right_b in sorted(mixed, key=lambda f: (f[1], f[0], f[3])):
        key = (task, item_id(a[0], task, i))
        shown.append(
            Disagreement(task, key[1], right_a, right_b, both(left.get(key), right.get(key)))
        )
    return Browser(label, analysis.baseline, wins, losses, shown, bool(left))


def pair_of(analysis: Analysis) -> str | None:
    """The primary arm, else the best one that can be compared."""
    named = str((analysis.question.primary or {}).get("arm"))
    if named in analysis.comparisons and analysis.comparisons[named].macro.estimate is not None:
        return named
    known = {
        label: analysis.table.rows[label][MACRO].mean
        for label, one in analysis.comparisons.items()
        if one.macro.estimate is not None
    }
    return max(known, key=lambda label: known[label] or 0.0) if known else None


def item_id(run: Run, task: str, index: int) -> str:
    """An item's id."""
    items = run.scores[task].items
    assert items is not None
    return str(items.ids[index])


def texts(run: Run, wanted: set[tuple[str, str]]) -> dict[tuple[str, str], dict[str, str]]:
    """(task, item) -> the texts that the run kept; a private benchmark's items have none."""
    if not wanted:
        return {}
    path = run.folder / "items.parquet"
    there = [name for name in TEXTS if name in pq.ParquetFile(path).schema_arrow.names]
    if not there:
        return {}
    ids = sorted({item for _, item in wanted})
    table = pq.read_table(path, columns=["task", "item", *there], filters=[("item", "in", ids)])
    rows: list[dict[str, Any]] = table.to_pylist()
    return {
        (row["task"], row["item"]): {
            name: escape_and_truncate(str(row[name] or "")) for name in there
        }
        for row in rows
        if (row["task"], row["item"]) in wanted and row[there[0]] is not None
    }


def both(arm: Mapping[str, str] | None, baseline: Mapping[str, str] | None) -> dict[str, str]:
    """The question once, and each side's answer."""
    if arm is None:
        return {}
    found = {name: arm[name] for name in ("question", "target") if arm.get(name)}
    return found | {
        "arm": arm.get("response", ""),
        "baseline": (baseline or {}).get("response", ""),
    }
