"""Figures of training: loss and accuracy curves, both on two axes and stacked, train/val gap."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from kvdistill.report.figures.style import COLOURS, INK, ArmStyle, RenderedFigure, render_figure
from kvdistill.sanitise import shorten_label

SPLITS = {"train": "training", "val": "validation"}
METRICS = ("macro", "exact_match")
"""Columns of the curves that say how well tasks are done, the better one first."""
TRAINED_KV, COMPARABLE_KV = "kv", "kv_nmse"
LOGITS = "logits"
KV_TITLES = {TRAINED_KV: "KV loss", COMPARABLE_KV: "KV error"}
KV_NOTES = {
    TRAINED_KV: "On the scale that was trained: arms with other teachers have other scales.",
    COMPARABLE_KV: "Squared error over the fused target's own variance: 1 is what a constant "
    "scores, whatever the teachers.",
}
"""What the scale of a KV column means for a comparison of arms."""


@dataclass(frozen=True)
class ArmCurves:
    """One arm: mean over seeds by step, one table a split."""

    label: str
    splits: Mapping[str, pd.DataFrame]

    def get_line(self, split: str, column: str) -> tuple[np.ndarray, np.ndarray]:
        """(steps, values) where the column is known; both empty where it is not."""
        table = self.splits.get(split)
        if table is None or column not in table:
            return np.array([]), np.array([])
        # Not every log point has every column: tasks are scored more rarely than losses.
        known_values = table[column].dropna()
        return known_values.index.to_numpy(), known_values.to_numpy(dtype=float)

    def has(self, split: str, column: str) -> bool:
        """Whether the column has a value at any step."""
        return bool(len(self.get_line(split, column)[0]))


def average_curves(label: str, tables: Sequence[pd.DataFrame]) -> ArmCurves:
    """The mean over runs at the steps that all of them logged.

    Each table is a run's curves.jsonl: `step`, `split`, and a column a quantity. A split that a
    run did not log is left out.
    """
    splits: dict[str, pd.DataFrame] = {}
    for split in SPLITS:
        parts = [
            table[table["split"] == split]
            .drop(columns="split")
            .groupby("step")
            .mean(numeric_only=True)
            for table in tables
            if len(table)
        ]
        parts = [part for part in parts if len(part)]
        if parts and len(parts) == len(tables):
            # Where only some runs have a step, the mean would jump by their difference.
            steps = sorted(set.intersection(*(set(part.index) for part in parts)))
            splits[split] = (
                sum(part.loc[steps] for part in parts[1:]) / len(parts)
                + parts[0].loc[steps] / len(parts)
                if len(parts) > 1
                else parts[0]
            )
    return ArmCurves(label, splits)


def choose_accuracy_column(curves: Sequence[ArmCurves]) -> str | None:
    """The first of METRICS that was logged in training."""
    tables = [table for arm_curves in curves for table in arm_curves.splits.values()]
    columns = {column for table in tables for column in table if table[column].notna().any()}
    return next((name for name in METRICS if name in columns), None)


def choose_kv_column(curves: Sequence[ArmCurves]) -> str:
    """The KV column on which these arms compare; the trained one where an older run has no other.

    Validation alone has the comparable one.
    """
    comparable = all(arm_curves.has("val", COMPARABLE_KV) for arm_curves in curves)
    return COMPARABLE_KV if comparable else TRAINED_KV


def draw_lines(
    axes: Axes,
    curves: Sequence[ArmCurves],
    column: str,
    styles: Mapping[str, ArmStyle],
    splits: Sequence[str],
    factor: float | int = 1,
) -> None:
    """A column's line of each arm and split: the last split full, the others faint and dotted."""
    for arm_curves in curves:
        style = styles[arm_curves.label]
        for split in splits:
            steps, values = arm_curves.get_line(split, column)
            if not len(steps):
                continue
            is_last = split == splits[-1]
            # One arm alone: the legend tells its splits apart, for its name would say nothing.
            is_alone = len(curves) == 1 and len(splits) > 1
            arm_label = shorten_label(arm_curves.label) if is_last else None
            axes.plot(
                steps,
                factor * values,
                color=style.colour,
                linestyle=style.dash if is_last else ":",
                alpha=1 if is_last or is_alone else 0.55,
                linewidth=1.7 if is_last else 1.2,
                marker=style.marker if len(steps) < 30 and is_last else None,
                markersize=3.5,
                label=SPLITS[split] if is_alone else arm_label,
            )


def draw_both_splits(
    name: str, title: str, description: str, curves: Sequence[ArmCurves], column: str,
    styles: Mapping[str, ArmStyle], ylabel: str, factor: float | int = 1,
) -> RenderedFigure:  # fmt: skip
    """One panel: a column on validation (full) and training (dotted) data."""

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        draw_lines(axes, curves, column, styles, ("train", "val"), factor)
        axes.set(xlabel="optimiser step", ylabel=ylabel)
        figure.legend(loc="outside upper left", ncols=4)

    return render_figure(name, title, description, paint, (9.2, 3.4))


def draw_kv_loss(
    curves: Sequence[ArmCurves], styles: Mapping[str, ArmStyle], column: str = TRAINED_KV
) -> RenderedFigure:
    """kv_loss_curves: how far K and V are from their target; training data too as far as logged."""
    splits = "full lines validation, dotted training" if column == TRAINED_KV else "validation"
    note = f"Mean over seeds; {splits}. {KV_NOTES[column]}"
    title = KV_TITLES[column]
    return draw_both_splits("kv_loss_curves", title, note, curves, column, styles, title)


def draw_logit_distance(
    curves: Sequence[ArmCurves], styles: Mapping[str, ArmStyle]
) -> RenderedFigure:
    """logit_distance_curves: how far next-token distributions are from the teachers'."""
    return draw_both_splits(
        "logit_distance_curves",
        "Distance of next-token distributions",
        "As trained, mean over seeds; full lines validation, dotted training. Arms with other "
        "teachers or distances have other scales.",
        curves,
        LOGITS,
        styles,
        "distance, nats a token",
    )


def draw_convergence(curves: Sequence[ArmCurves], styles: Mapping[str, ArmStyle]) -> RenderedFigure:
    """convergence_curves: cross-entropy, how fast each arm learns to write."""
    return draw_both_splits(
        "convergence_curves",
        "Convergence",
        "Cross-entropy, mean over seeds; full lines validation, dotted training.",
        curves,
        "ce",
        styles,
        "cross-entropy, nats a token",
    )


def draw_accuracy(
    curves: Sequence[ArmCurves], styles: Mapping[str, ArmStyle], column: str
) -> RenderedFigure:
    """task_accuracy_curves: a task metric through training."""
    return draw_both_splits(
        "task_accuracy_curves",
        "Accuracy through training",
        f"{column} in percent, mean over seeds; full lines validation, dotted training.",
        curves,
        column,
        styles,
        f"{column.replace('_', ' ')}, %",
        100,
    )


def draw_dual_axis(
    curves: Sequence[ArmCurves],
    styles: Mapping[str, ArmStyle],
    column: str,
    kv: str = TRAINED_KV,
) -> RenderedFigure:
    """dual_axis_curve: KV loss (left axis) and accuracy (right axis) on validation data."""
    title = KV_TITLES[kv]

    def paint(figure: Figure) -> None:
        left = figure.add_subplot()
        right = left.twinx()
        for arm_curves in curves:
            style = styles[arm_curves.label]
            steps, values = arm_curves.get_line("val", kv)
            left.plot(steps, values, color=style.colour, linestyle="-", label=f"{title} (left)")
            steps, values = arm_curves.get_line("val", column)
            right.plot(
                steps,
                100 * values,
                # One arm alone: its two lines differ in colour too.
                color=style.colour if len(curves) > 1 else COLOURS[1],
                linestyle=(0, (4, 2)),
                marker=style.marker,
                markersize=3.5,
                label=f"{column.replace('_', ' ')} (right)",
            )
        left.set(xlabel="optimiser step", ylabel=f"{title} (full lines)")
        right.set_ylabel(f"{column}, % (dashed)")
        right.spines["right"].set_visible(True)
        right.grid(visible=False)  # two grids of different steps would cross
        handles = [
            Line2D(
                [], [], color=styles[c.label].colour, marker=styles[c.label].marker,
                label=shorten_label(c.label),
            )
            for c in curves
        ]  # fmt: skip
        if len(curves) == 1:
            handles = [*left.get_lines(), *right.get_lines()]
        figure.legend(handles=handles, loc="outside upper left", ncols=4)

    return render_figure(
        "dual_axis_curve",
        f"{title} against accuracy",
        "Two scales in one panel: where lines cross means nothing. The stacked panels avoid that. "
        f"{KV_NOTES[kv]}",
        paint,
        (9.2, 3.6),
    )


def draw_stacked(
    curves: Sequence[ArmCurves],
    styles: Mapping[str, ArmStyle],
    column: str,
    kv: str = TRAINED_KV,
) -> RenderedFigure:
    """stacked_curves: the same two quantities in two panels over one axis of steps."""

    def paint(figure: Figure) -> None:
        top, bottom = figure.subplots(2, 1, sharex=True)
        draw_lines(top, curves, kv, styles, ("val",))
        draw_lines(bottom, curves, column, styles, ("val",), 100)
        top.set_ylabel(KV_TITLES[kv])
        bottom.set(xlabel="optimiser step", ylabel=f"{column.replace('_', ' ')}, %")
        handles, names = top.get_legend_handles_labels()
        figure.legend(handles, names, loc="outside upper left", ncols=4)

    return render_figure(
        "stacked_curves",
        "The same, stacked",
        f"Validation {KV_TITLES[kv]} and accuracy over the same steps. {KV_NOTES[kv]}",
        paint,
        (9.2, 4.6),
    )


def draw_train_val_gap(
    curves: Sequence[ArmCurves], styles: Mapping[str, ArmStyle], column: str | None
) -> RenderedFigure:
    """overfitting_analysis: validation minus training loss, and training minus validation metric.

    So above zero always means that the arm does better on what it trained on.
    """

    def paint(figure: Figure) -> None:
        panels = [("ce", "CE: val - train", 1.0)]
        if any(arm_curves.has("val", "kv") for arm_curves in curves):
            panels.append((TRAINED_KV, "KV loss as trained: val - train", 1.0))
        if column is not None and any(arm_curves.has("train", column) for arm_curves in curves):
            panels.append((column, f"{column}: train - val, points", -100.0))
        grid = figure.subplots(1, len(panels), squeeze=False)[0]
        for axes, (name, title, factor) in zip(grid, panels, strict=True):
            for arm_curves in curves:
                draw_gap(axes, arm_curves, name, factor, styles[arm_curves.label])
            axes.axhline(0, color=INK, linewidth=0.8)
            axes.set_title(title)
            axes.set_xlabel("step")
        handles, names = grid[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside upper left", ncols=4)

    return render_figure(
        "overfitting_analysis",
        "Train/validation gap",
        "Above zero the arm does better on what it trained on. A gap that grows is overfitting.",
        paint,
        (9.2, 3.2),
    )


def draw_gap(
    axes: Axes, arm_curves: ArmCurves, column: str, factor: float, style: ArmStyle
) -> None:
    """The line of factor x (validation - training), at the steps that have both."""
    train_steps, train_values = arm_curves.get_line("train", column)
    val_steps, val_values = arm_curves.get_line("val", column)
    steps = np.intersect1d(train_steps, val_steps)
    if not len(steps):
        return
    gap = val_values[np.isin(val_steps, steps)] - train_values[np.isin(train_steps, steps)]
    label = shorten_label(arm_curves.label)
    axes.plot(steps, factor * gap, color=style.colour, linestyle=style.dash, label=label)


def find_convergence_step(
    curves: ArmCurves, share: float = 0.9, column: str = "ce"
) -> float | None:
    """The first step at which validation had done `share` of its fall from first to last value.

    None with fewer than three values, and where the last is no lower than the first.
    """
    steps, values = curves.get_line("val", column)
    if len(values) < 3 or values[0] <= values[-1]:
        return None
    places = np.flatnonzero(values <= values[0] - share * (values[0] - values[-1]))
    return float(steps[places[0]])
