"""Heat map, and one bar an arm."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from kvdistill.report.figures.style import INK, SEQUENTIAL, ArmStyle, RenderedFigure, render_figure
from kvdistill.report.format import DASH
from kvdistill.report.table import ReportTable, TableCell
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
    """A labelled heat map; the text turns white on dark cells, an empty cell stays empty."""
    import seaborn as sns

    finite_values = values[np.isfinite(values)]
    low, high = scale or (
        (finite_values.min(), finite_values.max()) if finite_values.size else (0.0, 1.0)
    )

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
        name, title, ["", *columns],
        [
            [TableCell(row), *(make_number_cell(float(v), form.format(v)) for v in line)]
            for row, line in zip(rows, values, strict=True)
        ],
    )  # fmt: skip
    size = (9.2, 1.0 + 0.42 * max(len(rows), 1))
    return render_figure(name, title, description, paint, size, data=data)


def draw_arm_bars(
    name: str, title: str, description: str, labels: Sequence[str], values: Sequence[float],
    looks: Mapping[str, ArmStyle], unit: str, points: Sequence[Sequence[float]] = (),
) -> RenderedFigure:  # fmt: skip
    """One bar an arm, with the single runs as dots."""

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        for i, (label, value) in enumerate(zip(labels, values, strict=True)):
            look = looks[label]
            axes.bar(
                i,
                value,
                0.62,
                color=look.colour,
                hatch=look.hatch,
                edgecolor="white",
                linewidth=0.4,
            )
            if points:
                each = points[i]
                axes.plot(
                    np.linspace(i - 0.12, i + 0.12, len(each)),
                    each,
                    "o",
                    color=INK,
                    markersize=3.5,
                    markerfacecolor="white",
                    markeredgewidth=0.8,
                )
        names = [shorten_label(label, 24) for label in labels]
        tilted = max(map(len, names)) > 14
        axes.set_xticks(
            range(len(names)), names, rotation=20 * tilted, ha="right" if tilted else "center"
        )
        axes.set_ylabel(unit)
        axes.set_ylim(bottom=0)
        axes.set_xlim(-0.7, max(len(labels) - 0.3, 2.3))
        axes.grid(visible=False, axis="x")

    runs = max(map(len, points), default=0)
    each = [[*row, *[np.nan] * (runs - len(row))] for row in points] or [[] for _ in labels]
    data = ReportTable(
        name, title, ["arm", unit, *(f"run {n + 1}" for n in range(runs))],
        [
            [TableCell(label), *(make_number_cell(float(v)) for v in (value, *row))]
            for label, value, row in zip(labels, values, each, strict=True)
        ],
    )  # fmt: skip
    return render_figure(name, title, description, paint, (4.5, 3.2), data=data)


def make_number_cell(value: float, text: str | None = None) -> TableCell:
    """A drawn number; a dash where there is none."""
    return TableCell(text or f"{value:.4g}", value) if np.isfinite(value) else TableCell(DASH)
