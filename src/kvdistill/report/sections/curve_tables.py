"""The numbers behind a figure of curves."""

from collections.abc import Sequence

import numpy as np

from kvdistill.report.figures.training import ArmCurves
from kvdistill.report.format import DASH
from kvdistill.report.table import ReportTable, TableCell

MAX_CURVE_ROWS = 40
"""Steps that are listed; curves.jsonl of each run has all."""


def tabulate_curves(
    name: str,
    title: str,
    curves: Sequence[ArmCurves],
    columns: Sequence[str],
    splits: Sequence[str],
) -> ReportTable:
    """A row a step, a column an arm, quantity and split; evenly thinned where there are many."""
    lines = {
        f"{one.label}: {column} {split}": dict(zip(*one.get_line(split, column), strict=True))
        for one in curves
        for column in columns
        for split in splits
    }
    lines = {head: line for head, line in lines.items() if line}
    steps = sorted({step for line in lines.values() for step in line})
    places = np.unique(np.linspace(0, max(len(steps) - 1, 0), MAX_CURVE_ROWS).astype(int))
    listed_steps = [steps[i] for i in places] if steps else []
    rows = [
        [
            TableCell(str(step), float(step)),
            *(
                TableCell(f"{line[step]:.4g}", float(line[step]))
                if step in line
                else TableCell(DASH)
                for line in lines.values()
            ),
        ]
        for step in listed_steps
    ]
    thinned = (
        f"{len(listed_steps)} of {len(steps)} logged steps."
        if len(listed_steps) < len(steps)
        else ""
    )
    return ReportTable(name, f"{title}, mean over seeds", ["step", *lines], rows, thinned)
