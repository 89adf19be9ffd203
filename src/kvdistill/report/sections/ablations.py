"""The figure that STUDY.md D names for each ablation, by the sweep's `figure` or its name."""

from collections.abc import Callable, Mapping

import numpy as np

from kvdistill.report.figures.heatmap import draw_arm_bars, draw_heatmap
from kvdistill.report.figures.scores import choose_chart_arms
from kvdistill.report.figures.style import ArmStyle, RenderedFigure
from kvdistill.report.format import title_tasks
from kvdistill.stats.analysis import Analysis
from kvdistill.stats.curves import last
from kvdistill.stats.study import MACRO, Arm, Question

Painter = Callable[[str, Analysis, Mapping[str, ArmStyle]], list[RenderedFigure]]


def draw_ablation(analysis: Analysis, looks: Mapping[str, ArmStyle]) -> list[RenderedFigure]:
    """The ablation's own figures; none for a question that is no ablation, or has no score yet."""
    question = analysis.question
    kind = choose_figure_kind(question)
    rows = analysis.table.rows.values()
    scored = any(cell.mean is not None for row in rows for cell in row.values())
    return PAINTERS[kind](question.name, analysis, looks) if kind and scored else []


def choose_figure_kind(question: Question) -> str | None:
    """heatmap, spread, efficiency or kv_loss: the sweep's `figure`, else by the sweep's name."""
    if question.figure in PAINTERS:
        return question.figure
    words = {
        "layers": "heatmap", "alignment": "spread", "compression": "efficiency",
        "teacher_combination": "kv_loss", "family": "kv_loss",
    }  # fmt: skip
    return next((kind for word, kind in words.items() if word in question.name), None)


def draw_score_heatmap(
    name: str, analysis: Analysis, _: Mapping[str, ArmStyle]
) -> list[RenderedFigure]:
    """ablation_layers_heatmap: arms x tasks, one colour scale."""
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
    name: str, analysis: Analysis, looks: Mapping[str, ArmStyle]
) -> list[RenderedFigure]:
    """Accuracy chart and, beside it, the chart of standard deviations over seeds."""
    cells = {
        label: analysis.table.rows[label][MACRO]
        for label in choose_chart_arms(analysis.table, analysis.baseline)
        if analysis.table.rows[label][MACRO].mean is not None
    }
    if not cells:
        return []  # a task is missing everywhere, so there is no average
    steady = {label: cell for label, cell in cells.items() if cell.sd is not None}
    figures = [
        draw_arm_bars(
            f"{name}_accuracy", "Macro average", "Mean over seeds; dots are the single runs.",
            list(cells), [to_percent(cell.mean) for cell in cells.values()], looks, "%",
            [[100 * value for value in cell.values] for cell in cells.values()],
        )
    ]  # fmt: skip
    if steady:
        figures.append(
            draw_arm_bars(
                f"{name}_std", "Spread over seeds",
                "Standard deviation of the macro average over seeds. With three seeds it is itself "
                "known to a factor of about six.",
                list(steady), [to_percent(cell.sd) for cell in steady.values()], looks, "points",
            )
        )  # fmt: skip
    return figures


def draw_efficiency(
    name: str, analysis: Analysis, looks: Mapping[str, ArmStyle]
) -> list[RenderedFigure]:
    """Accuracy, spread, and what each arm cost."""
    keys = ("wall_time_s", "train_time_s", "wall_s", "train_s", "step_s", "seconds_per_step")
    arms = {
        label: analysis.question.arms[label]
        for label in choose_chart_arms(analysis.table, analysis.baseline)
    }
    key = next((k for k in keys if all(list_efficiency(arm, k) for arm in arms.values())), None)
    figures = draw_seed_spread(name, analysis, looks)
    if key is not None:
        points = [list_efficiency(arm, key) for arm in arms.values()]
        means = [float(np.mean(each)) for each in points]
        figures.append(
            draw_arm_bars(
                f"{name}_efficiency",
                "Training time",
                f"{key}, mean over seeds; dots are the single runs.",
                list(arms),
                means,
                looks,
                "s",
                points,
            )
        )
    return figures


def list_efficiency(arm: Arm, key: str) -> list[float]:
    """The key of every run; empty if one lacks it."""
    values = [run.efficiency.get(key) for run in arm.unique()]
    numbers = [float(value) for value in values if isinstance(value, int | float)]
    return numbers if len(numbers) == len(values) else []


def draw_final_kv_loss(
    name: str, analysis: Analysis, looks: Mapping[str, ArmStyle]
) -> list[RenderedFigure]:
    """The last validation KV loss of each arm, for teachers of one family and of several."""
    labels, points = [], []
    for label in choose_chart_arms(analysis.table, analysis.baseline):
        values = [last(run, "kv") for run in analysis.question.arms[label].unique()]
        known_values = [value for value in values if value is not None]
        if known_values and len(known_values) == len(values):
            labels.append(label)
            points.append(known_values)
    if not labels:
        return []
    return [
        draw_arm_bars(
            f"{name}_kv_loss", "KV loss at the end",
            "Last validation value, mean over seeds; dots are the single runs.",
            labels, [float(np.mean(each)) for each in points], looks, "KV loss", points,
        )
    ]  # fmt: skip


PAINTERS: Mapping[str, Painter] = {
    "heatmap": draw_score_heatmap, "spread": draw_seed_spread, "efficiency": draw_efficiency, "kv_loss": draw_final_kv_loss,
}  # fmt: skip


def to_percent(value: float | None) -> float:
    """Percent, NaN where missing."""
    return float("nan") if value is None else 100 * value
