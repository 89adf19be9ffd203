"""The numbers behind a figure of curves."""

from collections.abc import Sequence

import numpy as np

from kvdistill.report.figures.training import ArmCurves
from kvdistill.report.table import DASH, ReportTable, TableCell

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
    value_by_step = {
        f"{arm_curves.label}: {column} {split}": dict(
            zip(*arm_curves.get_line(split, column), strict=True)
        )
        for arm_curves in curves
        for column in columns
        for split in splits
    }
    value_by_step = {head: values for head, values in value_by_step.items() if values}
    steps = sorted({step for values in value_by_step.values() for step in values})
    # unique: with fewer steps than rows, neighbouring places round to the same step.
    places = np.unique(np.linspace(0, max(len(steps) - 1, 0), MAX_CURVE_ROWS).astype(int))
    listed_steps = [steps[i] for i in places] if steps else []
    rows = [
        [
            TableCell(str(step), float(step)),
            *(
                TableCell(f"{values[step]:.4g}", float(values[step]))
                if step in values
                else TableCell(DASH)
                for values in value_by_step.values()
            ),
        ]
        for step in listed_steps
    ]
    note = f"{len(listed_steps)} of {len(steps)} logged steps."
    return ReportTable(
        name,
        f"{title}, mean over seeds",
        ["step", *value_by_step],
        rows,
        note if len(listed_steps) < len(steps) else "",
    )
