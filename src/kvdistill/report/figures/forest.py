"""Forest plot: differences with both intervals, and what could have been detected."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from kvdistill.report.figures.style import (
    FAINT,
    GRID,
    INK,
    ArmStyle,
    RenderedFigure,
    render_figure,
)
from kvdistill.report.format import format_signed
from kvdistill.report.table import ReportTable, TableCell, make_number_cell
from kvdistill.sanitise import shorten_label
from kvdistill.stats.compare import Difference

DEFAULT_STYLE = ArmStyle("#5790fc", "o", "-", "")
FRACTION_BY_ROW = ("axes fraction", "data")
"""Where a text stands: along the axis by its share, downwards by its row."""


def draw_forest(
    name: str,
    differences: Mapping[str, Difference],
    baseline: str,
    styles: Mapping[str, ArmStyle],
    title: str = "Difference in macro average",
    names: Mapping[str, str] | None = None,
    confidence: float = 0.95,
) -> RenderedFigure:
    """A row a difference that has an estimate.

    Args:
        name: of the figure's file, `_forest` being added.
        differences: arm or task -> its difference from the baseline.
        baseline: the arm that all are compared with.
        styles: arm or task -> how its row looks.
        title: of the figure.
        names: arm or task -> how its row is called, where that is not its key.
        confidence: of the intervals.
    """
    names = names or {}
    shown = {key: each for key, each in differences.items() if each.estimate is not None}
    rows = [(names.get(key, key), styles.get(key, DEFAULT_STYLE), shown[key]) for key in shown]

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        draw_rows(axes, rows, baseline)
        axes.set_yticks(range(len(rows)), [shorten_label(label) for label, _, _ in rows])
        for row, (_, _, difference) in enumerate(rows):
            write_estimate(axes, difference, (1.01, row), "left")
        axes.set_ylim(len(rows) - 0.4, -0.6)  # downwards: the first row is on top
        add_forest_legend(figure, columns=3)

    def paint_narrow(figure: Figure) -> None:
        axes = figure.add_subplot()
        draw_rows(axes, rows, baseline)
        axes.set_yticks([])
        for row, (label, _, difference) in enumerate(rows):
            place = (0.015, row - 0.55)
            axes.annotate(shorten_label(label), place, xycoords=FRACTION_BY_ROW, va="center")
            write_estimate(axes, difference, (1.0, row - 0.55), "right")
        axes.set_ylim(len(rows) - 0.5, -0.85)
        add_forest_legend(figure, columns=1)

    return render_figure(
        f"{name}_forest",
        title,
        f"Each row is the difference from {baseline} in points, with its {100 * confidence:g} % "
        "interval over new "
        "seeds and items (thick) and over items for these checkpoints (thin). Differences inside "
        "the grey band would mostly be missed.",
        paint,
        (9.2, 1.15 + 0.36 * max(len(shown), 1)),
        data=tabulate_intervals(f"{name}_forest", title, shown, names),
        narrow=(paint_narrow, (3.9, 1.5 + 0.5 * max(len(shown), 1))),
    )


def draw_rows(axes: Axes, rows: Sequence[tuple[str, ArmStyle, Difference]], baseline: str) -> None:
    """Every row's marks, the line of no difference, and the axis of points."""
    for row, (_, style, difference) in enumerate(rows):
        draw_difference_row(axes, row, difference, style)
    axes.axvline(0, color=INK, linewidth=0.9)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(f"points above {shorten_label(baseline)}")


def write_estimate(
    axes: Axes, difference: Difference, place: tuple[float | int, float | int], align: str
) -> None:
    """The estimate as a number, at (fraction of the axis, row)."""
    text = format_signed(100 * (difference.estimate or 0.0))
    axes.annotate(text, place, xycoords=FRACTION_BY_ROW, va="center", ha=align, fontsize=8.5)


def draw_difference_row(axes: Axes, row: int, difference: Difference, style: ArmStyle) -> None:
    """Band of what was not detectable, both intervals over it, then the estimate."""
    estimate = 100 * (difference.estimate or 0.0)
    if difference.detectable is not None:
        half = 100 * difference.detectable
        axes.barh(row, 2 * half, left=-half, height=0.72, color=GRID, alpha=0.55, linewidth=0)
    if difference.recipe is not None:
        ends = [100 * difference.recipe.low, 100 * difference.recipe.high]
        axes.plot(ends, [row, row], color=style.colour, linewidth=2.2, solid_capstyle="butt")
    if difference.item is not None:
        ends = [100 * difference.item.low, 100 * difference.item.high]
        axes.plot(ends, [row, row], color=INK, linewidth=0.8, marker="|", markersize=7)
    axes.plot(
        estimate, row, marker=style.marker, color=style.colour, markersize=7,
        markeredgecolor="white",
    )  # fmt: skip


def add_forest_legend(figure: Figure, columns: int) -> None:
    """What line and band mean. A row's own colour is its arm's: the legend's is neutral."""
    item = "these checkpoints, new items"
    handles = [
        Line2D([], [], color=FAINT, linewidth=2.2, label="new seeds and items"),
        Line2D([], [], color=INK, linewidth=0.8, marker="|", label=item),
        Line2D([], [], color=GRID, linewidth=7, label="not detectable (80 % power)"),
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=columns)


def tabulate_intervals(
    name: str, title: str, differences: Mapping[str, Difference], names: Mapping[str, str]
) -> ReportTable:
    """The estimates and interval ends that a forest plot draws, in points."""
    rows = []
    for key, difference in differences.items():
        ends = [
            getattr(interval, end) if interval is not None else None
            for interval in (difference.recipe, difference.item)
            for end in ("low", "high")
        ]
        shares = (difference.estimate, *ends, difference.detectable)
        points = [None if share is None else 100 * share for share in shares]
        cells = [make_number_cell(value, lambda x: format_signed(x, 2)) for value in points]
        rows.append([TableCell(names.get(key, key)), *cells])
    columns = [
        "", "difference", "recipe low", "recipe high", "item low", "item high", "detectable",
    ]  # fmt: skip
    return ReportTable(name, f"{title}, points", columns, rows)
