"""Forest plot: differences with both intervals, and what could have been detected."""

from collections.abc import Mapping

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from kvdistill.report.figures.style import FAINT, GRID, INK, ArmStyle, RenderedFigure, render_figure
from kvdistill.report.format import DASH, format_signed
from kvdistill.report.table import ReportTable, TableCell
from kvdistill.sanitise import shorten_label
from kvdistill.stats.compare import Difference


def draw_forest(
    name: str,
    differences: Mapping[str, Difference],
    baseline: str,
    looks: Mapping[str, ArmStyle],
    title: str = "Difference in macro average",
    names: Mapping[str, str] | None = None,
) -> RenderedFigure:
    """A row an arm (or a task): estimate, both intervals, and what could have been detected."""
    shown = {label: one for label, one in differences.items() if one.estimate is not None}

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        for row, (label, one) in enumerate(shown.items()):
            look = looks[label] if label in looks else ArmStyle("#5790fc", "o", "-", "")
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
                format_signed(estimate),
                (1.01, row),
                xycoords=("axes fraction", "data"),
                va="center",
                fontsize=8.5,
            )
        axes.axvline(0, color=INK, linewidth=0.9)
        axes.set_yticks(
            range(len(shown)), [shorten_label((names or {}).get(label, label)) for label in shown]
        )
        axes.set_ylim(len(shown) - 0.4, -0.6)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel(f"points above {shorten_label(baseline)}")
        handles = [
            Line2D([], [], color=FAINT, linewidth=2.2, label="new seeds and items"),
            Line2D(
                [], [], color=INK, linewidth=0.8, marker="|", label="these checkpoints, new items"
            ),
            Line2D([], [], color=GRID, linewidth=7, label="not detectable (80 % power)"),
        ]
        figure.legend(handles=handles, loc="outside upper left", ncols=3)

    return render_figure(
        f"{name}_forest",
        title,
        f"Each row is the difference from {baseline} in points, with its 95 % interval over new "
        "seeds and items (thick) and over items for these checkpoints (thin). Differences inside "
        "the grey band would mostly be missed.",
        paint,
        (9.2, 1.15 + 0.36 * max(len(shown), 1)),
        data=tabulate_intervals(f"{name}_forest", title, shown, names or {}),
    )


def tabulate_intervals(
    name: str, title: str, shown: Mapping[str, Difference], names: Mapping[str, str]
) -> ReportTable:
    """The estimates and interval ends that a forest plot draws, in points."""
    rows = []
    for label, one in shown.items():
        ends = [
            getattr(interval, end) if interval is not None else None
            for interval in (one.recipe, one.item)
            for end in ("low", "high")
        ]
        points = [
            TableCell(DASH) if v is None else TableCell(format_signed(100 * v, 2), 100 * v)
            for v in (one.estimate, *ends, one.detectable)
        ]
        rows.append([TableCell(names.get(label, label)), *points])
    columns = [
        "", "difference", "recipe low", "recipe high", "item low", "item high", "detectable",
    ]  # fmt: skip
    return ReportTable(name, f"{title}, points", columns, rows)
