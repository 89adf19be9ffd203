"""The numbers behind a figure of curves."""

from collections.abc import Sequence

import numpy as np

from kvdistill.report.figures.training import Curves
from kvdistill.report.format import DASH
from kvdistill.report.table import Grid, Value

MOST_ROWS = 40
"""Steps that are listed; curves.jsonl of each run has all."""


def of_curves(
    name: str, title: str, curves: Sequence[Curves], columns: Sequence[str], splits: Sequence[str]
) -> Grid:
    """A row a step, a column an arm, quantity and split; evenly thinned where there are many."""
    lines = {
        f"{one.label}: {column} {split}": dict(zip(*one.line(split, column), strict=True))
        for one in curves
        for column in columns
        for split in splits
    }
    lines = {head: line for head, line in lines.items() if line}
    steps = sorted({step for line in lines.values() for step in line})
    places = np.unique(np.linspace(0, max(len(steps) - 1, 0), MOST_ROWS).astype(int))
    kept = [steps[i] for i in places] if steps else []
    rows = [
        [
            Value(str(step), float(step)),
            *(
                Value(f"{line[step]:.4g}", float(line[step])) if step in line else Value(DASH)
                for line in lines.values()
            ),
        ]
        for step in kept
    ]
    thinned = f"{len(kept)} of {len(steps)} logged steps." if len(kept) < len(steps) else ""
    return Grid(name, f"{title}, mean over seeds", ["step", *lines], rows, thinned)
