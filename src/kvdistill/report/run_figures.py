"""The figures of one trained run, which lie beside its curves.jsonl."""

from pathlib import Path

import pandas as pd

from kvdistill import layout
from kvdistill.report.figures import training as training_figures
from kvdistill.report.figures.style import RenderedFigure, make_arm_styles
from kvdistill.stats.curves import read_curves


def write_run_figures(folder: Path) -> list[Path]:
    """Writes what a run's curves have data for, as PNG.

    kv_loss_curves, logit_distance_curves, task_accuracy_curves, dual_axis_curve and
    overfitting_analysis.

    Returns those written: a run that logged no such loss or no task metric has no such figure.
    """
    table = read_curves(Path(folder) / layout.CURVES)
    written = []
    for figure in draw_run_figures(table):
        path = Path(folder) / f"{figure.name}.png"
        figure.save(path)
        written.append(path)
    return written


def draw_run_figures(table: pd.DataFrame) -> list[RenderedFigure]:
    """The figures that the rows of a curves.jsonl have data for."""
    if table.empty:
        return []
    curves = [training_figures.average_curves("this run", [table])]
    styles = make_arm_styles(["this run"])
    column = training_figures.choose_accuracy_column(curves)
    has_kv = curves[0].has("val", "kv")
    figures = []
    if has_kv:
        figures.append(training_figures.draw_kv_loss(curves, styles))
    if curves[0].has("val", training_figures.LOGITS):
        figures.append(training_figures.draw_logit_distance(curves, styles))
    if column is not None:
        figures.append(training_figures.draw_accuracy(curves, styles, column))
    if has_kv and column is not None:
        figures.append(training_figures.draw_dual_axis(curves, styles, column))
    figures.append(training_figures.draw_train_val_gap(curves, styles, column))
    return figures
