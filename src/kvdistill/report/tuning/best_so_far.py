"""The curve of best-so-far: what each further trial of an arm's tuning would have brought."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from kvdistill.report.figures.style import ArmStyle, RenderedFigure, render_figure
from kvdistill.report.table import ReportTable
from kvdistill.sanitise import shorten_label

AXIS_NAMES = {"ce": "validation cross-entropy", "exact_match": "validation exact answers, share"}


def draw_best_so_far(
    name: str,
    column: str,
    values_by_arm: Mapping[str, Sequence[float | None]],
    styles: Mapping[str, ArmStyle],
    data: ReportTable,
) -> RenderedFigure:
    """A step line an arm over its trials in their order, each trial a marker behind it.

    `values_by_arm` holds the mean over the tuning seeds of each trial, None where it diverged;
    `column` is what was measured.
    """

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        for label, values in values_by_arm.items():
            draw_arm_trials(axes, label, values, styles[label], rising=column != "ce")
        axes.set_xlabel("trial, in the order in which they were drawn")
        axes.set_ylabel(AXIS_NAMES[column])
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        figure.legend(loc="outside upper left", ncols=min(4, max(len(values_by_arm), 1)))

    return render_figure(
        name,
        "Best so far by trial",
        "Lines are the best mean over the tuning seeds up to each trial, markers the trials; one "
        "that diverged has none. A line that still moves at its end had use for more trials.",
        paint,
        (9.2, 3.6),
        data=data,
    )


def draw_arm_trials(
    axes: Axes, label: str, values: Sequence[float | None], style: ArmStyle, *, rising: bool
) -> None:
    """One arm's trials, and the best of them so far."""
    numbers = np.array([np.nan if value is None else value for value in values], dtype=float)
    places = np.arange(1, len(numbers) + 1)
    best = compute_best_so_far(numbers, rising=rising)
    axes.step(
        places, best, where="post", color=style.colour, linestyle=style.dash,
        label=shorten_label(label),
    )  # fmt: skip
    axes.plot(places, numbers, style.marker, color=style.colour, alpha=0.55, markersize=5)


def compute_best_so_far(numbers: np.ndarray, *, rising: bool) -> np.ndarray:
    """The highest (`rising`) or lowest number up to each place; NaN before the first number."""
    accumulate = np.fmax.accumulate if rising else np.fmin.accumulate
    best: np.ndarray = accumulate(numbers)
    return best
