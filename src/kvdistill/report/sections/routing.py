"""Where a router sends what: task x teacher on one colour scale, and by layer."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kvdistill.report.figures.heatmap import heatmap
from kvdistill.report.figures.scores import chosen
from kvdistill.report.figures.style import Drawn
from kvdistill.report.format import task_names
from kvdistill.report.table import Grid, Value
from kvdistill.stats.analysis import Analysis
from kvdistill.stats.curves import by_teacher, routing


def routing_section(analysis: Analysis) -> list[tuple[Drawn, Grid]]:
    """Routing weights of each arm with a router: task x teacher on one colour scale, and layers."""
    found: list[tuple[Drawn, Grid]] = []
    for label in chosen(analysis.table, analysis.baseline):
        runs = [run for run in analysis.question.arms[label].unique() if run.done]
        weights = [routing(run) for run in runs]
        if not weights or not all(weights):
            continue
        per_task = [by_teacher(one) for one in weights]
        first = per_task[0]
        mean = np.mean([t.reindex_like(first).to_numpy(dtype=float) for t in per_task], axis=0)
        name = f"{analysis.question.name}_routing_{len(found)}"
        names = task_names([*first.index])
        drawn = heatmap(
            name,
            f"Routing weights of {label}",
            "Mean weight over layers and seeds; a task's weights sum to 1.",
            mean.T, list(first.columns), [names[t] for t in first.index],
            "{:.2f}", (0.0, 1.0), "weight",
        )  # fmt: skip
        rows = []
        for task in first.index:
            for teacher in first.columns:
                by_layer = layer_means(weights, task, teacher)
                rows.append(
                    [
                        Value(task),
                        Value(teacher),
                        *(Value(f"{w:.3f}", w) for w in by_layer.values()),
                    ]
                )
        layers = list(layer_means(weights, first.index[0], first.columns[0]))
        grid = Grid(
            f"{name}_layers",
            f"Routing weights of {label} by layer",
            ["task", "teacher", *map(str, layers)],
            rows,
            numeric=[False, False, *[True] * len(layers)],
        )
        found.append((drawn, grid))
    return found


def layer_means(weights: Sequence[Mapping[str, Any]], task: str, teacher: str) -> dict[str, float]:
    """Layer -> mean weight over seeds."""
    each = [one.get(task, {}).get(teacher, {}) for one in weights]
    keys = sorted(each[0], key=lambda k: (len(k), k)) if each else []
    return {k: float(np.mean([one.get(k, np.nan) for one in each])) for k in keys}
