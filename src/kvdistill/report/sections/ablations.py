"""The figure that STUDY.md D names for each ablation, by the sweep's `figure` or its name."""

from collections.abc import Callable, Mapping

import numpy as np

from kvdistill.report.figures.heatmap import columns, heatmap
from kvdistill.report.figures.scores import chosen
from kvdistill.report.figures.style import Drawn, Look
from kvdistill.report.format import task_names
from kvdistill.stats.analysis import Analysis
from kvdistill.stats.curves import last
from kvdistill.stats.study import MACRO, Arm, Question

Painter = Callable[[str, Analysis, Mapping[str, Look]], list[Drawn]]


def figures(analysis: Analysis, looks: Mapping[str, Look]) -> list[Drawn]:
    """The ablation's own figures; none for a question that is no ablation, or has no score yet."""
    question = analysis.question
    kind = kind_of(question)
    rows = analysis.table.rows.values()
    scored = any(cell.mean is not None for row in rows for cell in row.values())
    return PAINTERS[kind](question.name, analysis, looks) if kind and scored else []


def kind_of(question: Question) -> str | None:
    """heatmap, spread, efficiency or kv_loss: the sweep's `figure`, else by the sweep's name."""
    if question.figure in PAINTERS:
        return question.figure
    words = {
        "layers": "heatmap", "alignment": "spread", "compression": "efficiency",
        "teacher_combination": "kv_loss", "family": "kv_loss",
    }  # fmt: skip
    return next((kind for word, kind in words.items() if word in question.name), None)


def layers(name: str, analysis: Analysis, _: Mapping[str, Look]) -> list[Drawn]:
    """ablation_layers_heatmap: arms x tasks, one colour scale."""
    table = analysis.table
    names = task_names(table.endpoints)
    arms = chosen(table, analysis.baseline)
    values = np.array([[percent(table.rows[a][e].mean) for e in table.endpoints] for a in arms])
    return [
        heatmap(
            f"{name}_heatmap",
            "Score by arm and task",
            "Mean over seeds in percent; an empty cell is missing.",
            values,
            arms,
            [names[e] for e in table.endpoints],
            label="%",
        )
    ]


def spread(name: str, analysis: Analysis, looks: Mapping[str, Look]) -> list[Drawn]:
    """Accuracy chart and, beside it, the chart of standard deviations over seeds."""
    shown = {
        label: analysis.table.rows[label][MACRO]
        for label in chosen(analysis.table, analysis.baseline)
        if analysis.table.rows[label][MACRO].mean is not None
    }
    if not shown:
        return []  # a task is missing everywhere, so there is no average
    steady = {label: cell for label, cell in shown.items() if cell.sd is not None}
    found = [
        columns(
            f"{name}_accuracy", "Macro average", "Mean over seeds; dots are the single runs.",
            list(shown), [percent(cell.mean) for cell in shown.values()], looks, "%",
            [[100 * value for value in cell.values] for cell in shown.values()],
        )
    ]  # fmt: skip
    if steady:
        found.append(
            columns(
                f"{name}_std", "Spread over seeds",
                "Standard deviation of the macro average over seeds. With three seeds it is itself "
                "known to a factor of about six.",
                list(steady), [percent(cell.sd) for cell in steady.values()], looks, "points",
            )
        )  # fmt: skip
    return found


def efficiency(name: str, analysis: Analysis, looks: Mapping[str, Look]) -> list[Drawn]:
    """Accuracy, spread, and what each arm cost."""
    keys = ("wall_time_s", "train_time_s", "wall_s", "train_s", "step_s", "seconds_per_step")
    arms = {
        label: analysis.question.arms[label] for label in chosen(analysis.table, analysis.baseline)
    }
    key = next((k for k in keys if all(every(arm, k) for arm in arms.values())), None)
    found = spread(name, analysis, looks)
    if key is not None:
        points = [every(arm, key) for arm in arms.values()]
        means = [float(np.mean(each)) for each in points]
        found.append(
            columns(
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
    return found


def every(arm: Arm, key: str) -> list[float]:
    """The key of every run; empty if one lacks it."""
    found = [run.efficiency.get(key) for run in arm.unique()]
    known = [float(value) for value in found if isinstance(value, int | float)]
    return known if len(known) == len(found) else []


def kv_loss(name: str, analysis: Analysis, looks: Mapping[str, Look]) -> list[Drawn]:
    """The last validation KV loss of each arm, for teachers of one family and of several."""
    labels, points = [], []
    for label in chosen(analysis.table, analysis.baseline):
        found = [last(run, "kv") for run in analysis.question.arms[label].unique()]
        known = [value for value in found if value is not None]
        if known and len(known) == len(found):
            labels.append(label)
            points.append(known)
    if not labels:
        return []
    return [
        columns(
            f"{name}_kv_loss", "KV loss at the end",
            "Last validation value, mean over seeds; dots are the single runs.",
            labels, [float(np.mean(each)) for each in points], looks, "KV loss", points,
        )
    ]  # fmt: skip


PAINTERS: Mapping[str, Painter] = {
    "heatmap": layers, "spread": spread, "efficiency": efficiency, "kv_loss": kv_loss,
}  # fmt: skip


def percent(value: float | None) -> float:
    """Percent, NaN where missing."""
    return float("nan") if value is None else 100 * value
