"""The curves of the main arms, their figures and the table of their ends."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from kvdistill.report.figures import training
from kvdistill.report.figures.style import ArmStyle, RenderedFigure
from kvdistill.report.format import DASH
from kvdistill.report.sections.curve_tables import tabulate_curves
from kvdistill.report.sections.disagreements import choose_primary_arm
from kvdistill.report.table import ReportTable, TableCell
from kvdistill.stats.analysis import Analysis
from kvdistill.stats.curves import curves
from kvdistill.stats.study import Arm

MAX_CURVE_ARMS = 6


def choose_main_arms(arms: Mapping[str, Arm], analyses: Mapping[str, Analysis]) -> list[str]:
    """The arms whose curves are drawn: baselines and primary arms first, then in order."""
    ranked: dict[frozenset[str], None] = {}
    for analysis in analyses.values():
        for label in (analysis.baseline, choose_primary_arm(analysis)):
            if label is not None:
                runs = analysis.question.arms[label].runs.values()
                ranked[frozenset(r.identity for r in runs)] = None
    for arm in arms.values():
        ranked.setdefault(frozenset(r.identity for r in arm.runs.values()), None)
    by_runs = {frozenset(r.identity for r in a.runs.values()): k for k, a in arms.items()}
    return [by_runs[key] for key in ranked if arms[by_runs[key]].trained][:MAX_CURVE_ARMS]


def build_training_section(
    arms: Mapping[str, Arm], labels: Sequence[str], style: Mapping[str, ArmStyle]
) -> tuple[list[RenderedFigure], ReportTable]:
    """Curves of the main arms, mean over seeds; an arm that lacks one is left out by name."""
    means = []
    unfinished = [label for label in labels if not all(r.done for r in arms[label].runs.values())]
    for label in labels:
        tables = [curves(run) for run in arms[label].unique() if label not in unfinished]
        tables = [table for table in tables if len(table)]
        if tables:
            means.append(training.average_curves(label, tables))
    if not means:
        return [], ReportTable("training", "Training", ["arm"], [])
    column = training.choose_accuracy_column(means)
    with_kv = [one for one in means if len(one.line("val", "kv")[0])]
    figures = [training.draw_convergence(means, style)]
    if with_kv:
        figures.append(training.draw_kv_loss(with_kv, style))
    if column is not None:
        figures.append(training.draw_accuracy(means, style, column))
        if with_kv:
            figures.append(training.draw_dual_axis(with_kv, style, column))
            figures.append(training.draw_stacked(with_kv, style, column))
    figures.append(training.draw_train_val_gap(means, style, column))
    return attach_tables(figures, means, column), tabulate_curve_ends(means, column, unfinished)


def attach_tables(
    figures: Sequence[RenderedFigure], means: Sequence[training.ArmCurves], column: str | None
) -> list[RenderedFigure]:
    """The figures of curves, each with the numbers it draws."""
    accuracy, both = [column] if column else [], ("train", "val")
    sources: dict[str, tuple[list[str], tuple[str, ...]]] = {
        "convergence_curves": (["ce"], both),
        "kv_loss_curves": (["kv"], both),
        "task_accuracy_curves": (accuracy, both),
        "dual_axis_curve": (["kv", *accuracy], ("val",)),
        "stacked_curves": (["kv", *accuracy], ("val",)),
        "overfitting_analysis": (["ce", "kv", *accuracy], both),
    }
    return [
        replace(
            figure, data=tabulate_curves(figure.name, figure.title, means, *sources[figure.name])
        )
        for figure in figures
    ]


def tabulate_curve_ends(
    means: Sequence[training.ArmCurves], column: str | None, unfinished: Sequence[str]
) -> ReportTable:
    """First and last values, and how soon 90 % of the fall was reached."""
    names = [("ce", "CE"), ("kv", "KV loss"), *([(column, column)] if column else [])]
    heads = [f"{title} {when}" for _, title in names for when in ("first", "last")]
    rows = []
    for curves in means:
        row = [TableCell(curves.label)]
        for name, _ in names:
            _, y = curves.get_line("val", name)
            ends = [float(y[0]), float(y[-1])] if len(y) else [None, None]
            row += [TableCell(DASH if v is None else f"{v:.3f}", v) for v in ends]
        step = training.find_convergence_step(curves)
        row.append(TableCell(f"{step:.0f}", step) if step is not None else TableCell(DASH))
        rows.append(row)
    return ReportTable(
        "training", "Validation curves: first and last values, mean over seeds",
        ["arm", *heads, "90 % of the CE fall by step"], rows,
        note=f"Left out until all their seeds are done: {', '.join(unfinished)}." if unfinished else "",
    )  # fmt: skip
