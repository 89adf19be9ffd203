"""The curves of the main arms, their figures and the table of their ends."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from kvdistill.report.figures import training
from kvdistill.report.figures.style import Drawn, Look
from kvdistill.report.format import DASH
from kvdistill.report.sections.curve_tables import of_curves
from kvdistill.report.sections.disagreements import pair_of
from kvdistill.report.table import Grid, Value
from kvdistill.stats.analysis import Analysis
from kvdistill.stats.curves import curves
from kvdistill.stats.study import Arm

MOST_CURVES = 6


def main_arms(arms: Mapping[str, Arm], analyses: Mapping[str, Analysis]) -> list[str]:
    """The arms whose curves are drawn: baselines and primary arms first, then in order."""
    ranked: dict[frozenset[str], None] = {}
    for analysis in analyses.values():
        for label in (analysis.baseline, pair_of(analysis)):
            if label is not None:
                runs = analysis.question.arms[label].runs.values()
                ranked[frozenset(r.identity for r in runs)] = None
    for arm in arms.values():
        ranked.setdefault(frozenset(r.identity for r in arm.runs.values()), None)
    by_runs = {frozenset(r.identity for r in a.runs.values()): k for k, a in arms.items()}
    return [by_runs[key] for key in ranked if arms[by_runs[key]].trained][:MOST_CURVES]


def training_section(
    arms: Mapping[str, Arm], labels: Sequence[str], style: Mapping[str, Look]
) -> tuple[list[Drawn], Grid]:
    """Curves of the main arms, mean over seeds; an arm that lacks one is left out by name."""
    means = []
    waiting = [label for label in labels if not all(r.done for r in arms[label].runs.values())]
    for label in labels:
        read = [curves(run) for run in arms[label].unique() if label not in waiting]
        read = [table for table in read if len(table)]
        if read:
            means.append(training.mean_curves(label, read))
    if not means:
        return [], Grid("training", "Training", ["arm"], [])
    column = training.accuracy_column(means)
    with_kv = [one for one in means if len(one.line("val", "kv")[0])]
    found = [training.convergence(means, style)]
    if with_kv:
        found.append(training.kv_loss(with_kv, style))
    if column is not None:
        found.append(training.accuracy(means, style, column))
        if with_kv:
            found.append(training.dual_axis(with_kv, style, column))
            found.append(training.stacked(with_kv, style, column))
    found.append(training.gap(means, style, column))
    return with_tables(found, means, column), training_grid(means, column, waiting)


def with_tables(
    drawn: Sequence[Drawn], means: Sequence[training.Curves], column: str | None
) -> list[Drawn]:
    """The figures of curves, each with the numbers it draws."""
    accuracy, both = [column] if column else [], ("train", "val")
    drawn_from: dict[str, tuple[list[str], tuple[str, ...]]] = {
        "convergence_curves": (["ce"], both),
        "kv_loss_curves": (["kv"], both),
        "task_accuracy_curves": (accuracy, both),
        "dual_axis_curve": (["kv", *accuracy], ("val",)),
        "stacked_curves": (["kv", *accuracy], ("val",)),
        "overfitting_analysis": (["ce", "kv", *accuracy], both),
    }
    return [
        replace(one, data=of_curves(one.name, one.title, means, *drawn_from[one.name]))
        for one in drawn
    ]


def training_grid(
    means: Sequence[training.Curves], column: str | None, waiting: Sequence[str]
) -> Grid:
    """First and last values, and how soon 90 % of the fall was reached."""
    names = [("ce", "CE"), ("kv", "KV loss"), *([(column, column)] if column else [])]
    heads = [f"{title} {when}" for _, title in names for when in ("first", "last")]
    rows = []
    for one in means:
        row = [Value(one.label)]
        for name, _ in names:
            _, y = one.line("val", name)
            ends = [float(y[0]), float(y[-1])] if len(y) else [None, None]
            row += [Value(DASH if v is None else f"{v:.3f}", v) for v in ends]
        step = training.convergence_step(one)
        row.append(Value(f"{step:.0f}", step) if step is not None else Value(DASH))
        rows.append(row)
    return Grid(
        "training", "Validation curves: first and last values, mean over seeds",
        ["arm", *heads, "90 % of the CE fall by step"], rows,
        note=f"Left out until all their seeds are done: {', '.join(waiting)}." if waiting else "",
    )  # fmt: skip
