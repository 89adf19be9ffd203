"""Figures of scores: bars per task, and radar."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kvdistill.report.figures.style import FAINT, GRID, INK, ArmStyle, RenderedFigure, render_figure
from kvdistill.report.table import ReportTable, TableCell
from kvdistill.sanitise import shorten_label
from kvdistill.stats.summary import Cell, Table


def draw_score_bars(
    name: str,
    table: Table,
    styles: Mapping[str, ArmStyle],
    names: Mapping[str, str],
    arms: Sequence[str],
) -> RenderedFigure:
    """Mean score in percent by endpoint and arm, SD over seeds as whiskers; a gap stays a gap."""

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        width = 0.82 / max(len(arms), 1)
        for i, label in enumerate(arms):
            cells = [table.rows[label][endpoint] for endpoint in table.endpoints]
            offset = (i - (len(arms) - 1) / 2) * width
            draw_arm_group(axes, label, cells, offset, width, styles[label])
        axes.set_xticks(range(len(table.endpoints)), [names[e] for e in table.endpoints])
        # The average is last, and is no task of its own.
        axes.axvline(len(table.endpoints) - 1.5, color=FAINT, linewidth=0.7, linestyle=":")
        axes.set_ylabel("score, %")
        axes.set_ylim(bottom=0)
        axes.grid(visible=False, axis="x")
        figure.legend(loc="outside upper left", ncols=min(4, max(len(arms), 1)))

    return render_figure(
        f"{name}_bars",
        "Score per task",
        "Mean over seeds for each task and arm; whiskers are one standard deviation over seeds.",
        paint,
        (9.2, 3.9),
        data=tabulate_drawn_scores(f"{name}_bars", table, arms, names),
    )


def draw_arm_group(
    axes: Axes, label: str, cells: Sequence[Cell], offset: float, width: float, style: ArmStyle
) -> None:
    """One arm's bars, `offset` to the right of each endpoint's place."""
    scored = [j for j, cell in enumerate(cells) if cell.mean is not None]
    if not scored:  # its place stays empty, and the legend says why
        missing = f"{shorten_label(label)}: missing"
        axes.bar(0, 0, 0, facecolor="none", edgecolor=FAINT, label=missing)
        return
    axes.bar(
        np.array(scored) + offset,
        [100 * (cells[j].mean or 0) for j in scored],
        width * 0.92,
        # NaN draws no whisker; 0 would draw one of a spread that was not measured.
        yerr=[np.nan if (sd := cells[j].sd) is None else 100 * sd for j in scored],
        color=style.colour,
        hatch=style.hatch,
        edgecolor="white",
        linewidth=0.4,
        error_kw={"ecolor": INK, "elinewidth": 0.9, "capsize": min(2.5, 8 * width)},
        label=shorten_label(label),
    )


def draw_radar(
    name: str,
    table: Table,
    styles: Mapping[str, ArmStyle],
    names: Mapping[str, str],
    arms: Sequence[str],
) -> RenderedFigure:
    """A line an arm over the tasks. An illustration: areas and axis order carry no meaning."""
    tasks = table.endpoints[:-1]
    angles = np.linspace(0, 2 * np.pi, len(tasks), endpoint=False)

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot(projection="polar")
        axes.set_theta_offset(np.pi / 2)  # type: ignore[attr-defined]
        axes.set_theta_direction(-1)  # type: ignore[attr-defined]
        for label in arms:
            values = [table.rows[label][task].mean for task in tasks]
            if any(value is None for value in values):
                continue  # a line with a gap cannot be closed
            style = styles[label]
            axes.plot(
                [*angles, angles[0]],
                [100 * (value or 0) for value in [*values, values[0]]],
                color=style.colour,
                linestyle=style.dash,
                marker=style.marker,
                markersize=4,
                label=shorten_label(label),
            )
        axes.set_xticks(angles, [names[task] for task in tasks])
        axes.tick_params(axis="x", pad=9)
        axes.set_ylim(bottom=0)
        axes.spines["polar"].set_color(GRID)
        figure.legend(loc="outside upper left", ncols=2)

    return render_figure(
        f"{name}_radar",
        "Profile over the tasks",
        "Mean score in percent, one line an arm. An illustration: area and the order of the axes "
        "mean nothing; read differences from the forest plot.",
        paint,
        (6.4, 5.2),
        data=tabulate_drawn_scores(f"{name}_radar", table, arms, names, tasks),
    )


def tabulate_drawn_scores(
    name: str,
    table: Table,
    arms: Sequence[str],
    names: Mapping[str, str],
    endpoints: Sequence[str] | None = None,
) -> ReportTable:
    """The means and standard deviations that bars and radar draw; by default of all endpoints."""
    columns = table.endpoints if endpoints is None else endpoints
    rows = []
    for label in arms:
        cells = [table.rows[label][endpoint] for endpoint in columns]
        scores = [
            TableCell(cell.text(), None if cell.mean is None else 100 * cell.mean) for cell in cells
        ]
        rows.append([TableCell(label), *scores])
    return ReportTable(name, "Score, %", ["arm", *(names[e] for e in columns)], rows)
