"""Heat map, and one bar an arm."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from kvdistill.report.figures.style import (
    INK,
    SEQUENTIAL,
    ArmStyle,
    RenderedFigure,
    render_figure,
)
from kvdistill.report.table import ReportTable, TableCell, make_number_cell
from kvdistill.sanitise import shorten_label


def draw_heatmap(
    name: str,
    title: str,
    description: str,
    values: np.ndarray,
    rows: Sequence[str],
    columns: Sequence[str],
    form: str = "{:.1f}",
    scale: tuple[float, float] | None = None,
    label: str = "",
) -> RenderedFigure:
    """`values` (rows x columns) with their numbers; a NaN is an empty cell.

    The colours run from the lowest to the highest value, or over `scale`, so that several figures
    can be compared; `label` stands at the colour bar.
    """
    import seaborn as sns  # slow to import, and most figures need none of it

    finite_values = values[np.isfinite(values)]
    ends = (finite_values.min(), finite_values.max()) if finite_values.size else (0.0, 1.0)
    low, high = scale or ends

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        texts = np.array(
            [[form.format(v) if np.isfinite(v) else "" for v in row] for row in values]
        )
        sns.heatmap(
            values, ax=axes, cmap=SEQUENTIAL, vmin=low, vmax=high, annot=texts, fmt="",
            xticklabels=[shorten_label(column) for column in columns],
            yticklabels=[shorten_label(row) for row in rows],
            linewidths=1, linecolor="white",
            annot_kws={"fontsize": 8.5}, cbar_kws={"label": label, "pad": 0.015},
            mask=~np.isfinite(values),
        )  # fmt: skip
        axes.tick_params(length=0)
        axes.set_yticklabels(axes.get_yticklabels(), rotation=0)
        axes.set_xticklabels(axes.get_xticklabels(), rotation=0)
        axes.grid(visible=False)

    data = ReportTable(
        name,
        title,
        ["", *columns],
        [
            [TableCell(row), *(make_number_cell(float(v), form.format) for v in line)]
            for row, line in zip(rows, values, strict=True)
        ],
    )
    size = (9.2, 1.0 + 0.42 * max(len(rows), 1))
    return render_figure(name, title, description, paint, size, data=data)


def draw_arm_bars(
    name: str, title: str, description: str, labels: Sequence[str], values: Sequence[float],
    styles: Mapping[str, ArmStyle], unit: str, points: Sequence[Sequence[float]] = (),
) -> RenderedFigure:  # fmt: skip
    """One bar an arm. `points`, if any, holds for each arm its single runs, drawn as dots."""

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        for i, (label, value) in enumerate(zip(labels, values, strict=True)):
            style = styles[label]
            axes.bar(
                i, value, 0.62, color=style.colour, hatch=style.hatch, edgecolor="white",
                linewidth=0.4,
            )  # fmt: skip
            if points:
                # Side by side, not on one spot: equal runs would hide each other.
                places = np.linspace(i - 0.12, i + 0.12, len(points[i]))
                axes.plot(
                    places, points[i], "o", color=INK, markersize=3.5, markerfacecolor="white",
                    markeredgewidth=0.8,
                )  # fmt: skip
        names = [shorten_label(label, 24) for label in labels]
        is_tilted = max(map(len, names)) > 14
        axes.set_xticks(
            range(len(names)), names, rotation=20 * is_tilted, ha="right" if is_tilted else "center"
        )
        axes.set_ylabel(unit)
        axes.set_ylim(bottom=0)
        # Room for three bars at least: a single one would fill the panel.
        axes.set_xlim(-0.7, max(len(labels) - 0.3, 2.3))
        axes.grid(visible=False, axis="x")

    data = tabulate_bars(name, title, labels, values, unit, points)
    return render_figure(name, title, description, paint, (4.5, 3.2), data=data)


def tabulate_bars(
    name: str, title: str, labels: Sequence[str], values: Sequence[float], unit: str,
    points: Sequence[Sequence[float]],
) -> ReportTable:  # fmt: skip
    """What draw_arm_bars draws: an arm's value and its single runs."""
    most = max(map(len, points), default=0)
    runs = [[*row, *[np.nan] * (most - len(row))] for row in points] or [[] for _ in labels]
    return ReportTable(
        name,
        title,
        ["arm", unit, *(f"run {n + 1}" for n in range(most))],
        [
            [TableCell(label), *(make_number_cell(float(v)) for v in (value, *row))]
            for label, value, row in zip(labels, values, runs, strict=True)
        ],
    )
