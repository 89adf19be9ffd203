"""The figure of an ablation: by the sweep's `figure` setting, or else by the sweep's name."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from kvdistill.report.figures.heatmap import draw_arm_bars, draw_heatmap
from kvdistill.report.figures.style import ArmStyle, RenderedFigure
from kvdistill.report.figures.training import COMPARABLE_KV, KV_NOTES, KV_TITLES, TRAINED_KV
from kvdistill.report.format import title_tasks
from kvdistill.report.sections.choose_arms import choose_chart_arms
from kvdistill.stats.analysis import Analysis
from kvdistill.stats.curves import read_last_value
from kvdistill.stats.study import MACRO, Arm, QuestionRecords

Painter = Callable[[str, Analysis, Mapping[str, ArmStyle]], list[RenderedFigure]]
"""(question's name, its analysis, label -> style) -> figures."""

TIME_KEYS = ("wall_time_s", "train_time_s", "wall_s", "train_s", "step_s", "seconds_per_step")
"""Names of a run's time in results.json, the preferred first."""


def draw_ablation(analysis: Analysis, styles: Mapping[str, ArmStyle]) -> list[RenderedFigure]:
    """The ablation's own figures; none for a question that is no ablation, or has no score yet."""
    question = analysis.question
    kind = choose_figure_kind(question)
    rows = analysis.table.rows.values()
    has_score = any(cell.mean is not None for row in rows for cell in row.values())
    return PAINTERS[kind](question.name, analysis, styles) if kind and has_score else []


def choose_figure_kind(question: QuestionRecords) -> str | None:
    """A key of PAINTERS: the sweep's `figure`, else by a word in the sweep's name, else None."""
    if question.figure in PAINTERS:
        return question.figure
    # A name may hold two of the words: the first in this order counts.
    words = {
        "layers": "heatmap", "alignment": "spread", "compression": "efficiency",
        "teacher_combination": "kv_loss", "family": "kv_loss",
    }  # fmt: skip
    return next((kind for word, kind in words.items() if word in question.name), None)


def draw_score_heatmap(
    name: str, analysis: Analysis, _: Mapping[str, ArmStyle]
) -> list[RenderedFigure]:
    """NAME_heatmap: arms x tasks on one colour scale."""
    table = analysis.table
    names = title_tasks(table.endpoints)
    arms = choose_chart_arms(table, analysis.baseline)
    values = np.array([[to_percent(table.rows[a][e].mean) for e in table.endpoints] for a in arms])
    return [
        draw_heatmap(
            f"{name}_heatmap",
            "Score by arm and task",
            "Mean over seeds in percent; an empty cell is missing.",
            values,
            arms,
            [names[e] for e in table.endpoints],
            label="%",
        )
    ]


def draw_seed_spread(
    name: str, analysis: Analysis, styles: Mapping[str, ArmStyle]
) -> list[RenderedFigure]:
    """NAME_accuracy and NAME_std: the macro average and its standard deviation over seeds."""
    cells = {
        label: analysis.table.rows[label][MACRO]
        for label in choose_chart_arms(analysis.table, analysis.baseline)
        if analysis.table.rows[label][MACRO].mean is not None
    }
    if not cells:
        return []  # a task is missing everywhere, so there is no average
    figures = [
        draw_arm_bars(
            f"{name}_accuracy", "Macro average", "Mean over seeds; dots are the single runs.",
            list(cells), [to_percent(cell.mean) for cell in cells.values()], styles, "%",
            [[100 * value for value in cell.values] for cell in cells.values()],
        )
    ]  # fmt: skip
    # An arm with one run has no standard deviation, which is not one of zero.
    with_sd = {label: cell for label, cell in cells.items() if cell.sd is not None}
    if with_sd:
        figures.append(
            draw_arm_bars(
                f"{name}_std", "Spread over seeds",
                "Standard deviation of the macro average over seeds. With three seeds it is itself "
                "known to a factor of about six.",
                list(with_sd), [to_percent(cell.sd) for cell in with_sd.values()], styles,
                "points",
            )
        )  # fmt: skip
    return figures


def draw_efficiency(
    name: str, analysis: Analysis, styles: Mapping[str, ArmStyle]
) -> list[RenderedFigure]:
    """The figures of draw_seed_spread, and NAME_efficiency: the time that each arm took."""
    figures = draw_seed_spread(name, analysis, styles)
    labels = choose_chart_arms(analysis.table, analysis.baseline)
    for key in TIME_KEYS:
        seconds = [list_efficiency(analysis.question.arms[label], key) for label in labels]
        # Different keys measure different things: one that every arm has, or no figure.
        if all(seconds):
            figures.append(
                draw_means(
                    f"{name}_efficiency", "Training time",
                    f"{key}, mean over seeds; dots are the single runs.",
                    labels, seconds, styles, "s",
                )
            )  # fmt: skip
            break
    return figures


def list_efficiency(arm: Arm, key: str) -> list[float]:
    """The key of each of the arm's distinct runs; empty if one lacks it."""
    values = [run.efficiency.get(key) for run in arm.distinct_runs()]
    numbers = [float(value) for value in values if isinstance(value, int | float)]
    return numbers if len(numbers) == len(values) else []


def draw_final_kv_loss(
    name: str, analysis: Analysis, styles: Mapping[str, ArmStyle]
) -> list[RenderedFigure]:
    """NAME_kv_loss: the last validation KV loss of each arm whose runs all logged one.

    On the scale that compares over sets of teachers, where every arm that has a KV loss has it.
    """
    column, (labels, losses) = TRAINED_KV, list_final_losses(analysis, TRAINED_KV)
    comparable = list_final_losses(analysis, COMPARABLE_KV)
    if comparable[0] == labels:
        column, losses = COMPARABLE_KV, comparable[1]
    if not labels:
        return []
    note = f"Last validation value, mean over seeds; dots are the single runs. {KV_NOTES[column]}"
    title = KV_TITLES[column]
    figure = draw_means(
        f"{name}_kv_loss", f"{title} at the end", note, labels, losses, styles, title
    )
    return [figure]


def list_final_losses(analysis: Analysis, column: str) -> tuple[list[str], list[list[float]]]:
    """(labels, the runs' last validation values) of the arms whose runs all logged the column."""
    labels, losses = [], []
    for label in choose_chart_arms(analysis.table, analysis.baseline):
        values = [
            read_last_value(run, column) for run in analysis.question.arms[label].distinct_runs()
        ]
        numbers = [value for value in values if value is not None]
        if numbers and len(numbers) == len(values):
            labels.append(label)
            losses.append(numbers)
    return labels, losses


def draw_means(
    name: str, title: str, description: str, labels: Sequence[str],
    values: Sequence[Sequence[float]], styles: Mapping[str, ArmStyle], unit: str,
) -> RenderedFigure:  # fmt: skip
    """A bar an arm: the mean of its runs' values, which are dots."""
    means = [float(np.mean(runs)) for runs in values]
    return draw_arm_bars(name, title, description, labels, means, styles, unit, values)


PAINTERS: Mapping[str, Painter] = {
    "heatmap": draw_score_heatmap, "spread": draw_seed_spread, "efficiency": draw_efficiency,
    "kv_loss": draw_final_kv_loss,
}  # fmt: skip


def to_percent(share: float | None) -> float:
    """NaN where the share is missing: a heat map leaves such a cell empty."""
    return float("nan") if share is None else 100 * share
