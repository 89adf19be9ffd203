"""Where a router sends what: task x teacher on one colour scale, and by layer."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from kvdistill.report.figures.heatmap import draw_heatmap
from kvdistill.report.figures.style import RenderedFigure
from kvdistill.report.format import format_p, title_tasks
from kvdistill.report.sections.choose_arms import choose_chart_arms
from kvdistill.report.table import ReportTable, TableCell
from kvdistill.stats.analysis import Analysis
from kvdistill.stats.claim_measures import measure_routing
from kvdistill.stats.curves import average_over_layers, read_routing_weights
from kvdistill.stats.settings import Settings
from kvdistill.stats.study import Arm

RoutingWeights = Mapping[str, Any]
"""Of one run: task -> teacher -> layer -> weight."""


def build_routing_section(
    analysis: Analysis, settings: Settings
) -> list[tuple[RenderedFigure, ReportTable]]:
    """Of each arm whose runs all weigh several teachers: weights by task, teacher, and layer.

    The figure says how much the task decides, in nats, and whether that is more than chance.
    """
    section: list[tuple[RenderedFigure, ReportTable]] = []
    for label in choose_chart_arms(analysis.table, analysis.baseline):
        runs = [run for run in analysis.question.arms[label].distinct_runs() if run.done]
        weights = [read_routing_weights(run) for run in runs]
        # An arm without a router has no routing.json; a part of its runs is no mean over seeds.
        if not weights or not all(weights):
            continue
        by_task = [average_over_layers(run_weights) for run_weights in weights]
        if len(by_task[0].columns) == 1:  # one teacher has the whole weight everywhere
            continue
        name = f"{analysis.question.name}_routing_{len(section)}"
        section.append(
            (
                draw_routing(
                    name,
                    label,
                    by_task,
                    describe_dependence(analysis.question.arms[label], settings),
                ),
                tabulate_layers(f"{name}_layers", label, weights, by_task[0]),
            )
        )
    return section


def describe_dependence(arm: Arm, settings: Settings) -> str:
    """How much of a teacher's weight the task decides, and whether chance would do as much."""
    measured = measure_routing(arm, settings)
    if measured.estimate is None:
        return measured.why
    return f"{measured.why}; permutation p {format_p(measured.estimate)}"


def draw_routing(
    name: str, label: str, by_task: Sequence[pd.DataFrame], dependence: str
) -> RenderedFigure:
    """Teachers x tasks, mean over runs; each run's table has tasks as rows, teachers as columns.

    `dependence` says how far weights depend on the task.
    """
    first = by_task[0]
    # A run lists tasks and teachers in its own order: the first run's holds for all.
    mean = np.mean([t.reindex_like(first).to_numpy(dtype=float) for t in by_task], axis=0)
    names = title_tasks([*first.index])
    return draw_heatmap(
        name,
        f"Routing weights of {label}",
        f"Mean weight over layers and seeds; a task's weights sum to 1. Of task and weight: "
        f"{dependence}.",
        mean.T,
        list(first.columns),
        [names[t] for t in first.index],
        "{:.2f}",
        (0.0, 1.0),
        "weight",
    )


def tabulate_layers(
    name: str, label: str, weights: Sequence[RoutingWeights], by_task: pd.DataFrame
) -> ReportTable:
    """A row a task and teacher, a column a layer; tasks and teachers are those of `by_task`."""
    means = {
        (task, teacher): average_by_layer(weights, task, teacher)
        for task in by_task.index
        for teacher in by_task.columns
    }
    layers = list(next(iter(means.values())))
    rows = [
        [
            TableCell(task),
            TableCell(teacher),
            *(TableCell(f"{weight:.3f}", weight) for weight in by_layer.values()),
        ]
        for (task, teacher), by_layer in means.items()
    ]
    return ReportTable(
        name,
        f"Routing weights of {label} by layer",
        ["task", "teacher", *map(str, layers)],
        rows,
        numeric=[False, False, *[True] * len(layers)],
    )


def average_by_layer(
    weights: Sequence[RoutingWeights], task: str, teacher: str
) -> dict[str, float]:
    """Layer -> mean weight over seeds."""
    runs = [run_weights.get(task, {}).get(teacher, {}) for run_weights in weights]
    # JSON keys are text: by length first, layer 10 comes after layer 9.
    layers = sorted(runs[0], key=lambda key: (len(key), key)) if runs else []
    return {key: float(np.mean([run.get(key, np.nan) for run in runs])) for key in layers}
