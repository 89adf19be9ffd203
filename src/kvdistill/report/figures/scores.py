"""Figures of scores: bars per task, forest of differences, radar, heat map, spread."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from kvdistill.report.figures.style import FAINT, GRID, INK, SEQUENTIAL, Drawn, Look, draw
from kvdistill.report.grid import Grid, Value
from kvdistill.report.safe import short
from kvdistill.report.words import DASH, signed
from kvdistill.stats.compare import Difference
from kvdistill.stats.summary import Table

MOST_ARMS = 12
"""Arms in one chart; the table has them all."""


def chosen(table: Table, baseline: str | None, most: int = MOST_ARMS) -> list[str]:
    """The arms a chart shows: all, or the baseline and the best where there are too many."""
    arms = [label for label in table.rows if label not in table.references]
    if len(arms) <= most:
        return arms
    ranked = sorted(arms, key=lambda label: -(table.rows[label]["macro"].mean or 0.0))
    kept = {baseline, *[label for label in ranked if label != baseline][: most - 1]}
    return [label for label in arms if label in kept]


def bars(
    name: str,
    table: Table,
    looks: Mapping[str, Look],
    names: Mapping[str, str],
    arms: Sequence[str],
) -> Drawn:
    """Mean score per task over arms, SD over seeds as whiskers; a gap stays a gap."""

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        width = 0.82 / max(len(arms), 1)
        for i, label in enumerate(arms):
            look = looks[label]
            cells = [table.rows[label][endpoint] for endpoint in table.endpoints]
            there = [j for j, cell in enumerate(cells) if cell.mean is not None]
            if not there:  # its place stays empty, and the legend says why
                axes.bar(
                    0, 0, 0, facecolor="none", edgecolor=FAINT, label=f"{short(label)}: missing"
                )
                continue
            at = np.array(there) + (i - (len(arms) - 1) / 2) * width
            axes.bar(
                at,
                [100 * (cells[j].mean or 0) for j in there],
                width * 0.92,
                yerr=[np.nan if (sd := cells[j].sd) is None else 100 * sd for j in there],
                color=look.colour,
                hatch=look.hatch,
                edgecolor="white",
                linewidth=0.4,
                error_kw={"ecolor": INK, "elinewidth": 0.9, "capsize": min(2.5, 8 * width)},
                label=short(label),
            )
        axes.set_xticks(range(len(table.endpoints)), [names[e] for e in table.endpoints])
        axes.axvline(len(table.endpoints) - 1.5, color=FAINT, linewidth=0.7, linestyle=":")
        axes.set_ylabel("score, %")
        axes.set_ylim(bottom=0)
        axes.grid(visible=False, axis="x")
        figure.legend(loc="outside upper left", ncols=min(4, max(len(arms), 1)))

    return draw(
        f"{name}_bars",
        "Score per task",
        "Mean over seeds for each task and arm; whiskers are one standard deviation over seeds.",
        paint,
        (9.2, 3.9),
        data=of_scores(f"{name}_bars", table, arms, names),
    )


def forest(
    name: str,
    differences: Mapping[str, Difference],
    baseline: str,
    looks: Mapping[str, Look],
    title: str = "Difference in macro average",
    names: Mapping[str, str] | None = None,
) -> Drawn:
    """A row an arm (or a task): estimate, both intervals, and what could have been detected."""
    shown = {label: one for label, one in differences.items() if one.estimate is not None}

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        for row, (label, one) in enumerate(shown.items()):
            look = looks[label] if label in looks else Look("#5790fc", "o", "-", "")
            estimate = 100 * (one.estimate or 0.0)
            if one.detectable is not None:
                half = 100 * one.detectable
                axes.barh(
                    row, 2 * half, left=-half, height=0.72, color=GRID, alpha=0.55, linewidth=0
                )
            if one.recipe is not None:
                axes.plot(
                    [100 * one.recipe.low, 100 * one.recipe.high],
                    [row, row],
                    color=look.colour,
                    linewidth=2.2,
                    solid_capstyle="butt",
                )
            if one.item is not None:
                axes.plot(
                    [100 * one.item.low, 100 * one.item.high],
                    [row, row],
                    color=INK,
                    linewidth=0.8,
                    marker="|",
                    markersize=7,
                )
            axes.plot(
                estimate,
                row,
                marker=look.marker,
                color=look.colour,
                markersize=7,
                markeredgecolor="white",
            )
            axes.annotate(
                signed(estimate),
                (1.01, row),
                xycoords=("axes fraction", "data"),
                va="center",
                fontsize=8.5,
            )
        axes.axvline(0, color=INK, linewidth=0.9)
        axes.set_yticks(
            range(len(shown)), [short((names or {}).get(label, label)) for label in shown]
        )
        axes.set_ylim(len(shown) - 0.4, -0.6)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel(f"points above {short(baseline)}")
        handles = [
            Line2D([], [], color=FAINT, linewidth=2.2, label="new seeds and items"),
            Line2D(
                [], [], color=INK, linewidth=0.8, marker="|", label="these checkpoints, new items"
            ),
            Line2D([], [], color=GRID, linewidth=7, label="not detectable (80 % power)"),
        ]
        figure.legend(handles=handles, loc="outside upper left", ncols=3)

    return draw(
        f"{name}_forest",
        title,
        f"Each row is the difference from {baseline} in points, with its 95 % interval over new "
        "seeds and items (thick) and over items for these checkpoints (thin). Differences inside "
        "the grey band would mostly be missed.",
        paint,
        (9.2, 1.15 + 0.36 * max(len(shown), 1)),
        data=of_differences(f"{name}_forest", title, shown, names or {}),
    )


def radar(
    name: str,
    table: Table,
    looks: Mapping[str, Look],
    names: Mapping[str, str],
    arms: Sequence[str],
) -> Drawn:
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
                label=short(label),
            )
        axes.set_xticks(angles, [names[task] for task in tasks])
        axes.tick_params(axis="x", pad=9)
        axes.set_ylim(bottom=0)
        axes.spines["polar"].set_color(GRID)
        figure.legend(loc="outside upper left", ncols=2)

    return draw(
        f"{name}_radar",
        "Profile over the tasks",
        "Mean score in percent, one line an arm. An illustration: area and the order of the axes "
        "mean nothing; read differences from the forest plot.",
        paint,
        (6.4, 5.2),
        data=of_scores(f"{name}_radar", table, arms, names, tasks),
    )


def heatmap(
    name: str,
    title: str,
    description: str,
    values: np.ndarray,
    rows: Sequence[str],
    columns: Sequence[str],
    form: str = "{:.1f}",
    scale: tuple[float, float] | None = None,
    label: str = "",
) -> Drawn:
    """A labelled heat map; the text turns white on dark cells, an empty cell stays empty."""
    import seaborn as sns

    known = values[np.isfinite(values)]
    low, high = scale or ((known.min(), known.max()) if known.size else (0.0, 1.0))

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        texts = np.array(
            [[form.format(v) if np.isfinite(v) else "" for v in row] for row in values]
        )
        sns.heatmap(
            values, ax=axes, cmap=SEQUENTIAL, vmin=low, vmax=high, annot=texts, fmt="",
            xticklabels=[short(column) for column in columns],
            yticklabels=[short(row) for row in rows],
            linewidths=1, linecolor="white",
            annot_kws={"fontsize": 8.5}, cbar_kws={"label": label, "pad": 0.015},
            mask=~np.isfinite(values),
        )  # fmt: skip
        axes.tick_params(length=0)
        axes.set_yticklabels(axes.get_yticklabels(), rotation=0)
        axes.set_xticklabels(axes.get_xticklabels(), rotation=0)
        axes.grid(visible=False)

    data = Grid(
        name, title, ["", *columns],
        [
            [Value(row), *(number(float(v), form.format(v)) for v in line)]
            for row, line in zip(rows, values, strict=True)
        ],
    )  # fmt: skip
    size = (9.2, 1.0 + 0.42 * max(len(rows), 1))
    return draw(name, title, description, paint, size, data=data)


def columns(
    name: str, title: str, description: str, labels: Sequence[str], values: Sequence[float],
    looks: Mapping[str, Look], unit: str, points: Sequence[Sequence[float]] = (),
) -> Drawn:  # fmt: skip
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
        names = [short(label, 24) for label in labels]
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
    data = Grid(
        name, title, ["arm", unit, *(f"run {n + 1}" for n in range(runs))],
        [
            [Value(label), *(number(float(v)) for v in (value, *row))]
            for label, value, row in zip(labels, values, each, strict=True)
        ],
    )  # fmt: skip
    return draw(name, title, description, paint, (4.5, 3.2), data=data)


def number(value: float, text: str | None = None) -> Value:
    """A drawn number; a dash where there is none."""
    return Value(text or f"{value:.4g}", value) if np.isfinite(value) else Value(DASH)


def of_scores(
    name: str,
    table: Table,
    arms: Sequence[str],
    names: Mapping[str, str],
    endpoints: Sequence[str] | None = None,
) -> Grid:
    """The means and spreads that bars and radar draw."""
    wanted = table.endpoints if endpoints is None else endpoints
    rows = []
    for label in arms:
        row = [Value(label)]
        for endpoint in wanted:
            cell = table.rows[label][endpoint]
            row.append(Value(cell.text(), None if cell.mean is None else 100 * cell.mean))
        rows.append(row)
    return Grid(name, "Score, %", ["arm", *(names[e] for e in wanted)], rows)


def of_differences(
    name: str, title: str, shown: Mapping[str, Difference], names: Mapping[str, str]
) -> Grid:
    """The estimates and interval ends that a forest plot draws, in points."""
    rows = []
    for label, one in shown.items():
        ends = [
            getattr(interval, end) if interval is not None else None
            for interval in (one.recipe, one.item)
            for end in ("low", "high")
        ]
        points = [
            Value(DASH) if v is None else Value(signed(100 * v, 2), 100 * v)
            for v in (one.estimate, *ends, one.detectable)
        ]
        rows.append([Value(names.get(label, label)), *points])
    columns = [
        "", "difference", "recipe low", "recipe high", "item low", "item high", "detectable",
    ]  # fmt: skip
    return Grid(name, f"{title}, points", columns, rows)
