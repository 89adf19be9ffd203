"""The four figures of one trained run, beside its curves.jsonl (STUDY.md A7)."""

from pathlib import Path

import pandas as pd

from kvdistill.report.figures import training
from kvdistill.report.figures.style import Drawn, looks
from kvdistill.stats.curves import read_curves


def run_figures(folder: Path) -> list[Path]:
    """Writes kv_loss_curves, task_accuracy_curves, dual_axis_curve and overfitting_analysis (PNG).

    Returns those written: a run that logged no KV loss or no task metric has no such figure.
    """
    table = read_curves(Path(folder) / "curves.jsonl")
    written = []
    for drawn in paint(table):
        path = Path(folder) / f"{drawn.name}.png"
        path.write_bytes(drawn.png)
        written.append(path)
    return written


def paint(table: pd.DataFrame) -> list[Drawn]:
    """The figures that the curves have data for."""
    if table.empty:
        return []
    one = [training.mean_curves("this run", [table])]
    style = looks(["this run"])
    column = training.accuracy_column(one)
    has_kv = any(len(c.line("val", "kv")[0]) for c in one)
    found = []
    if has_kv:
        found.append(training.kv_loss(one, style))
    if column is not None:
        found.append(training.accuracy(one, style, column))
    if has_kv and column is not None:
        found.append(training.dual_axis(one, style, column))
    found.append(training.gap(one, style, column))
    return found
