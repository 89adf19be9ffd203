"""The curves of some arms: their figures and the table of their first and last values."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from kvdistill.report.figures import training as training_figures
from kvdistill.report.figures.style import ArmStyle, RenderedFigure
from kvdistill.report.figures.training import ArmCurves
from kvdistill.report.sections.curve_tables import tabulate_curves
from kvdistill.report.table import ReportTable, TableCell, make_number_cell
from kvdistill.stats.curves import read_run_curves
from kvdistill.stats.study import Arm


def build_training_section(
    arms: Mapping[str, Arm], labels: Sequence[str], styles: Mapping[str, ArmStyle]
) -> tuple[list[RenderedFigure], ReportTable]:
    """Curves of the arms of these labels, mean over seeds; the table names the unfinished ones."""
    means = []
    # A mean over the seeds that are done would be compared with means over all.
    unfinished = [label for label in labels if not all(r.done for r in arms[label].runs.values())]
    for label in labels:
        tables = [
            read_run_curves(run) for run in arms[label].distinct_runs() if label not in unfinished
        ]
        tables = [table for table in tables if len(table)]
        if tables:
            means.append(training_figures.average_curves(label, tables))
    if not means:
        return [], ReportTable("training", "Training", ["arm"], [])
    metric = training_figures.choose_accuracy_column(means)
    return draw_training(means, styles, metric), tabulate_curve_ends(means, metric, unfinished)


def draw_training(
    means: Sequence[ArmCurves], styles: Mapping[str, ArmStyle], metric: str | None
) -> list[RenderedFigure]:
    """The figures that the curves have data for, each with the numbers it draws."""
    with_kv = [arm_curves for arm_curves in means if arm_curves.has("val", "kv")]
    kv = training_figures.choose_kv_column(with_kv)
    both, validation = ("train", "val"), ("val",)
    metrics = [metric] if metric else []
    figures: list[tuple[RenderedFigure, list[str], tuple[str, ...]]] = [
        (training_figures.draw_convergence(means, styles), ["ce"], both)
    ]
    if with_kv:
        figures.append((training_figures.draw_kv_loss(with_kv, styles, kv), [kv], both))
    if compared := [each for each in means if each.has("val", training_figures.LOGITS)]:
        distance = training_figures.draw_logit_distance(compared, styles)
        figures.append((distance, [training_figures.LOGITS], both))
    if metric is not None:
        figures.append((training_figures.draw_accuracy(means, styles, metric), metrics, both))
    if metric is not None and with_kv:
        dual_axis = training_figures.draw_dual_axis(with_kv, styles, metric, kv)
        stacked = training_figures.draw_stacked(with_kv, styles, metric, kv)
        figures += [(each, [kv, metric], validation) for each in (dual_axis, stacked)]
    gap = training_figures.draw_train_val_gap(means, styles, metric)
    figures.append((gap, ["ce", "kv", *metrics], both))
    return [
        replace(figure, data=tabulate_curves(figure.name, figure.title, means, columns, splits))
        for figure, columns, splits in figures
    ]


def tabulate_curve_ends(
    means: Sequence[ArmCurves], metric: str | None, unfinished: Sequence[str]
) -> ReportTable:
    """First and last validation values, and the step at which CE had done 90 % of its fall."""
    with_kv = [arm_curves for arm_curves in means if arm_curves.has("val", "kv")]
    kv = training_figures.choose_kv_column(with_kv)
    names = [
        ("ce", "CE"),
        (kv, training_figures.KV_TITLES[kv]),
        *([(metric, metric)] if metric else []),
    ]
    heads = [f"{title} {when}" for _, title in names for when in ("first", "last")]
    rows = []
    for arm_curves in means:
        row = [TableCell(arm_curves.label)]
        for name, _ in names:
            _, values = arm_curves.get_line("val", name)
            ends = [float(values[0]), float(values[-1])] if len(values) else [None, None]
            row += [make_number_cell(end, "{:.3f}".format) for end in ends]
        step = training_figures.find_convergence_step(arm_curves)
        rows.append([*row, make_number_cell(step, "{:.0f}".format)])
    note = f"Left out until all their seeds are done: {', '.join(unfinished)}."
    return ReportTable(
        "training",
        "Validation curves: first and last values, mean over seeds",
        ["arm", *heads, "90 % of the CE fall by step"],
        rows,
        note=note if unfinished else "",
    )
