"""Figures of training: loss and accuracy curves, both on two axes and stacked, train/val gap."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from kvdistill.report.figures.style import COLOURS, INK, ArmStyle, RenderedFigure, render_figure
from kvdistill.sanitise import shorten_label

SPLITS = {"train": "training", "val": "validation"}
METRICS = ("macro", "exact_match")
"""Columns of the curves that say how well tasks are done, the better one first."""


@dataclass(frozen=True)
class ArmCurves:
    """One arm: mean over seeds by step, one table a split."""

    label: str
    splits: Mapping[str, pd.DataFrame]

    def get_line(self, split: str, column: str) -> tuple[np.ndarray, np.ndarray]:
        """(steps, values) where the column is known."""
        table = self.splits.get(split)
        if table is None or column not in table:
            return np.array([]), np.array([])
        known_values = table[column].dropna()
        return known_values.index.to_numpy(), known_values.to_numpy(dtype=float)


def average_curves(label: str, tables: Sequence[pd.DataFrame]) -> ArmCurves:
    """The mean over seeds at the steps that all of them logged."""
    splits: dict[str, pd.DataFrame] = {}
    for split in ("train", "val"):
        parts = [
            t[t["split"] == split].drop(columns="split").groupby("step").mean(numeric_only=True)
            for t in tables
            if len(t)
        ]
        parts = [part for part in parts if len(part)]
        if parts and len(parts) == len(tables):
            common = sorted(set.intersection(*(set(part.index) for part in parts)))
            splits[split] = (
                sum(part.loc[common] for part in parts[1:]) / len(parts)
                + parts[0].loc[common] / len(parts)
                if len(parts) > 1
                else parts[0]
            )
    return ArmCurves(label, splits)


def choose_accuracy_column(curves: Sequence[ArmCurves]) -> str | None:
    """The first of METRICS that was logged in training."""
    logged = {c for one in curves for t in one.splits.values() for c in t if t[c].notna().any()}
    return next((name for name in METRICS if name in logged), None)


def draw_lines(
    axes: Any,
    curves: Sequence[ArmCurves],
    column: str,
    looks: Mapping[str, ArmStyle],
    splits: Sequence[str],
    factor: float | int = 1,
) -> None:
    """Validation lines full, training lines faint."""
    for one in curves:
        look = looks[one.label]
        for split in splits:
            x, y = one.get_line(split, column)
            if not len(x):
                continue
            last = split == splits[-1]
            alone = len(curves) == 1 and len(splits) > 1
            axes.plot(
                x,
                factor * y,
                color=look.colour,
                linestyle=look.dash if last else ":",
                alpha=1 if last or alone else 0.55,
                linewidth=1.7 if last else 1.2,
                marker=look.marker if len(x) < 30 and last else None,
                markersize=3.5,
                label=SPLITS[split] if alone else shorten_label(one.label) if last else None,
            )


def draw_kv_loss(
    curves: Sequence[ArmCurves], looks: Mapping[str, ArmStyle], column: str = "kv"
) -> RenderedFigure:
    """kv_loss_curves: KV loss on validation (full) and training (dotted) data."""

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        draw_lines(axes, curves, column, looks, ("train", "val"))
        axes.set(xlabel="optimiser step", ylabel="KV loss")
        figure.legend(loc="outside upper left", ncols=4)

    return render_figure(
        "kv_loss_curves",
        "KV loss",
        "Mean over seeds; full lines validation, dotted training.",
        paint,
        (9.2, 3.4),
    )


def draw_convergence(curves: Sequence[ArmCurves], looks: Mapping[str, ArmStyle]) -> RenderedFigure:
    """Cross-entropy on validation data: how fast each arm learns to write."""

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        draw_lines(axes, curves, "ce", looks, ("train", "val"))
        axes.set(xlabel="optimiser step", ylabel="cross-entropy, nats a token")
        figure.legend(loc="outside upper left", ncols=4)

    return render_figure(
        "convergence_curves",
        "Convergence",
        "Cross-entropy, mean over seeds; full lines validation, dotted training.",
        paint,
        (9.2, 3.4),
    )


def draw_accuracy(
    curves: Sequence[ArmCurves], looks: Mapping[str, ArmStyle], column: str
) -> RenderedFigure:
    """task_accuracy_curves: a task metric through training."""

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        draw_lines(axes, curves, column, looks, ("train", "val"), 100)
        axes.set(xlabel="optimiser step", ylabel=f"{column.replace('_', ' ')}, %")
        figure.legend(loc="outside upper left", ncols=4)

    return render_figure(
        "task_accuracy_curves",
        "Accuracy through training",
        f"{column} in percent, mean over seeds; full lines validation, dotted training.",
        paint,
        (9.2, 3.4),
    )


def draw_dual_axis(
    curves: Sequence[ArmCurves], looks: Mapping[str, ArmStyle], column: str
) -> RenderedFigure:
    """dual_axis_curve: KV loss falling (left) beside accuracy rising (right)."""

    def paint(figure: Figure) -> None:
        left = figure.add_subplot()
        right = left.twinx()
        for one in curves:
            look = looks[one.label]
            x, y = one.get_line("val", "kv")
            left.plot(x, y, color=look.colour, linestyle="-", label="KV loss (left)")
            x, y = one.get_line("val", column)
            right.plot(
                x,
                100 * y,
                # One arm alone: its two lines are told apart by colour too.
                color=look.colour if len(curves) > 1 else COLOURS[1],
                linestyle=(0, (4, 2)),
                marker=look.marker,
                markersize=3.5,
                label=f"{column.replace('_', ' ')} (right)",
            )
        left.set(xlabel="optimiser step", ylabel="KV loss (full lines)")
        right.set_ylabel(f"{column}, % (dashed)")
        right.spines["right"].set_visible(True)
        right.grid(visible=False)
        handles = [
            Line2D(
                [],
                [],
                color=looks[c.label].colour,
                marker=looks[c.label].marker,
                label=shorten_label(c.label),
            )
            for c in curves
        ]
        if len(curves) == 1:
            handles = [*left.get_lines(), *right.get_lines()]
        figure.legend(handles=handles, loc="outside upper left", ncols=4)

    return render_figure(
        "dual_axis_curve",
        "KV loss against accuracy",
        "Two scales in one panel: where lines cross means nothing. The stacked panels avoid that.",
        paint,
        (9.2, 3.6),
    )


def draw_stacked(
    curves: Sequence[ArmCurves], looks: Mapping[str, ArmStyle], column: str
) -> RenderedFigure:
    """The same two quantities in two panels over one axis of steps."""

    def paint(figure: Figure) -> None:
        top, bottom = figure.subplots(2, 1, sharex=True)
        draw_lines(top, curves, "kv", looks, ("val",))
        draw_lines(bottom, curves, column, looks, ("val",), 100)
        top.set_ylabel("KV loss")
        bottom.set(xlabel="optimiser step", ylabel=f"{column.replace('_', ' ')}, %")
        handles, names = top.get_legend_handles_labels()
        figure.legend(handles, names, loc="outside upper left", ncols=4)

    return render_figure(
        "stacked_curves",
        "The same, stacked",
        "Validation KV loss and accuracy over the same steps.",
        paint,
        (9.2, 4.6),
    )


def draw_train_val_gap(
    curves: Sequence[ArmCurves], looks: Mapping[str, ArmStyle], column: str | None
) -> RenderedFigure:
    """overfitting_analysis: validation minus training, of the loss and of the accuracy."""

    def paint(figure: Figure) -> None:
        panels = [("ce", "CE: val - train", 1.0)]
        if any(len(c.get_line("val", "kv")[0]) for c in curves):
            panels.append(("kv", "KV loss: val - train", 1.0))
        if column is not None and any(len(c.get_line("train", column)[0]) for c in curves):
            panels.append((column, f"{column}: train - val, points", -100.0))
        grid = figure.subplots(1, len(panels), squeeze=False)[0]
        for axes, (name, title, factor) in zip(grid, panels, strict=True):
            for one in curves:
                look = looks[one.label]
                x, y = one.get_line("train", name)
                u, w = one.get_line("val", name)
                common = np.intersect1d(x, u)
                if len(common):
                    difference = w[np.isin(u, common)] - y[np.isin(x, common)]
                    axes.plot(
                        common,
                        factor * difference,
                        color=look.colour,
                        linestyle=look.dash,
                        label=shorten_label(one.label),
                    )
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


def find_convergence_step(
    curves: ArmCurves, share: float = 0.9, column: str = "ce"
) -> float | None:
    """The step by which `share` of the final fall of the validation loss was reached."""
    x, y = curves.get_line("val", column)
    if len(y) < 3 or y[0] <= y[-1]:
        return None
    reached = np.flatnonzero(y <= y[0] - share * (y[0] - y[-1]))
    return float(x[reached[0]])
