"""Where a router sends what: task x teacher on one colour scale, and by layer."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kvdistill.report.figures.heatmap import draw_heatmap
from kvdistill.report.figures.scores import choose_chart_arms
from kvdistill.report.figures.style import RenderedFigure
from kvdistill.report.format import title_tasks
from kvdistill.report.table import ReportTable, TableCell
from kvdistill.stats.analysis import Analysis
from kvdistill.stats.curves import by_teacher, routing


def build_routing_section(analysis: Analysis) -> list[tuple[RenderedFigure, ReportTable]]:
    """Routing weights of each arm with a router: task x teacher on one colour scale, and layers."""
    figures_and_tables: list[tuple[RenderedFigure, ReportTable]] = []
    for label in choose_chart_arms(analysis.table, analysis.baseline):
        runs = [run for run in analysis.question.arms[label].unique() if run.done]
        weights = [routing(run) for run in runs]
        if not weights or not all(weights):
            continue
        per_task = [by_teacher(one) for one in weights]
        first = per_task[0]
        mean = np.mean([t.reindex_like(first).to_numpy(dtype=float) for t in per_task], axis=0)
        name = f"{analysis.question.name}_routing_{len(figures_and_tables)}"
        names = title_tasks([*first.index])
        figure = draw_heatmap(
            name,
            f"Routing weights of {label}",
            "Mean weight over layers and seeds; a task's weights sum to 1.",
            mean.T, list(first.columns), [names[t] for t in first.index],
            "{:.2f}", (0.0, 1.0), "weight",
        )  # fmt: skip
        rows = []
        for task in first.index:
            for teacher in first.columns:
                by_layer = average_by_layer(weights, task, teacher)
                rows.append(
                    [
                        TableCell(task),
                        TableCell(teacher),
                        *(TableCell(f"{w:.3f}", w) for w in by_layer.values()),
                    ]
                )
        layers = list(average_by_layer(weights, first.index[0], first.columns[0]))
        grid = ReportTable(
            f"{name}_layers",
            f"Routing weights of {label} by layer",
            ["task", "teacher", *map(str, layers)],
            rows,
            numeric=[False, False, *[True] * len(layers)],
        )
        figures_and_tables.append((figure, grid))
    return figures_and_tables


def average_by_layer(
    weights: Sequence[Mapping[str, Any]], task: str, teacher: str
) -> dict[str, float]:
    """Layer -> mean weight over seeds."""
    each = [one.get(task, {}).get(teacher, {}) for one in weights]
    keys = sorted(each[0], key=lambda k: (len(k), k)) if each else []
    return {k: float(np.mean([one.get(k, np.nan) for one in each])) for k in keys}
