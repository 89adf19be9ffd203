"""Figures of scores: bars per task, and radar."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from kvdistill.report.figures.style import FAINT, GRID, INK, ArmStyle, RenderedFigure, render_figure
from kvdistill.report.table import ReportTable, TableCell
from kvdistill.sanitise import shorten_label
from kvdistill.stats.summary import Table

MAX_CHART_ARMS = 12
"""Arms in one chart; the table has them all."""


def choose_chart_arms(table: Table, baseline: str | None, most: int = MAX_CHART_ARMS) -> list[str]:
    """The arms a chart shows: all, or the baseline and the best where there are too many."""
    arms = [label for label in table.rows if label not in table.references]
    if len(arms) <= most:
        return arms
    ranked = sorted(arms, key=lambda label: -(table.rows[label]["macro"].mean or 0.0))
    shown_arms = {baseline, *[label for label in ranked if label != baseline][: most - 1]}
    return [label for label in arms if label in shown_arms]


def draw_score_bars(
    name: str,
    table: Table,
    looks: Mapping[str, ArmStyle],
    names: Mapping[str, str],
    arms: Sequence[str],
) -> RenderedFigure:
    """Mean score per task over arms, SD over seeds as whiskers; a gap stays a gap."""

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        width = 0.82 / max(len(arms), 1)
        for i, label in enumerate(arms):
            look = looks[label]
            cells = [table.rows[label][endpoint] for endpoint in table.endpoints]
            scored = [j for j, cell in enumerate(cells) if cell.mean is not None]
            if not scored:  # its place stays empty, and the legend says why
                axes.bar(
                    0,
                    0,
                    0,
                    facecolor="none",
                    edgecolor=FAINT,
                    label=f"{shorten_label(label)}: missing",
                )
                continue
            at = np.array(scored) + (i - (len(arms) - 1) / 2) * width
            axes.bar(
                at,
                [100 * (cells[j].mean or 0) for j in scored],
                width * 0.92,
                yerr=[np.nan if (sd := cells[j].sd) is None else 100 * sd for j in scored],
                color=look.colour,
                hatch=look.hatch,
                edgecolor="white",
                linewidth=0.4,
                error_kw={"ecolor": INK, "elinewidth": 0.9, "capsize": min(2.5, 8 * width)},
                label=shorten_label(label),
            )
        axes.set_xticks(range(len(table.endpoints)), [names[e] for e in table.endpoints])
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


def draw_radar(
    name: str,
    table: Table,
    looks: Mapping[str, ArmStyle],
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
                continue
            look = looks[label]
            closed = [100 * (v or 0) for v in [*values, values[0]]]
            axes.plot(
                [*angles, angles[0]],
                closed,
                color=look.colour,
                linestyle=look.dash,
                marker=look.marker,
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
    """The means and spreads that bars and radar draw."""
    columns = table.endpoints if endpoints is None else endpoints
    rows = []
    for label in arms:
        row = [TableCell(label)]
        for endpoint in columns:
            cell = table.rows[label][endpoint]
            row.append(TableCell(cell.text(), None if cell.mean is None else 100 * cell.mean))
        rows.append(row)
    return ReportTable(name, "Score, %", ["arm", *(names[e] for e in columns)], rows)
