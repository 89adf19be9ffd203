"""The four figures of one trained run, beside its curves.jsonl (STUDY.md A7)."""

from pathlib import Path

import pandas as pd

from kvdistill.report.figures import training
from kvdistill.report.figures.style import RenderedFigure, make_arm_styles
from kvdistill.stats.curves import read_curves


def write_run_figures(folder: Path) -> list[Path]:
    """Writes kv_loss_curves, task_accuracy_curves, dual_axis_curve and overfitting_analysis (PNG).

    Returns those written: a run that logged no KV loss or no task metric has no such figure.
    """
    table = read_curves(Path(folder) / "curves.jsonl")
    written = []
    for figure in draw_run_figures(table):
        path = Path(folder) / f"{figure.name}.png"
        path.write_bytes(figure.png)
        written.append(path)
    return written


def draw_run_figures(table: pd.DataFrame) -> list[RenderedFigure]:
    """The figures that the curves have data for."""
    if table.empty:
        return []
    curves = [training.average_curves("this run", [table])]
    style = make_arm_styles(["this run"])
    column = training.choose_accuracy_column(curves)
    has_kv = any(len(c.get_line("val", "kv")[0]) for c in curves)
    figures = []
    if has_kv:
        figures.append(training.draw_kv_loss(curves, style))
    if column is not None:
        figures.append(training.draw_accuracy(curves, style, column))
    if has_kv and column is not None:
        figures.append(training.draw_dual_axis(curves, style, column))
    figures.append(training.draw_train_val_gap(curves, style, column))
    return figures
