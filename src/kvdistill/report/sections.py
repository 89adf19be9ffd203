"""What the page says, section by section, before it becomes HTML."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from kvdistill.report import ablations, audit, robustness, tables
from kvdistill.report.curve_tables import of_curves
from kvdistill.report.disagree import Browser, browser, pair_of
from kvdistill.report.figures import scores, training
from kvdistill.report.figures.style import Drawn, Look, looks
from kvdistill.report.grid import Grid, Value
from kvdistill.report.provenance import Provenance, provenance
from kvdistill.report.words import DASH, line, sentence, task_names
from kvdistill.stats.analysis import Analysis, matrix
from kvdistill.stats.curves import by_teacher, curves, routing
from kvdistill.stats.settings import Settings
from kvdistill.stats.study import MACRO, Arm, Study
from kvdistill.stats.summary import Table, finished
from kvdistill.stats.verdicts import Verdict, levels

MOST_LINES = 12
"""Arms whose per-task lines stand in the page; significance.txt has all."""
MOST_SENTENCES = 8
MOST_CURVES = 6
MOST_RADAR = 5


@dataclass
class QuestionSection:
    """One question's part of the page."""

    name: str
    text: str
    baseline: str
    headline: str
    sentences: list[str]
    lines: list[tuple[str, list[str]]]
    """(arm, its A4 lines)."""
    scores: Grid
    differences: Grid
    cells: Grid
    extraction: Grid
    figures: list[Drawn] = field(default_factory=list)
    ablation: list[Drawn] = field(default_factory=list)
    routing: list[tuple[Drawn, Grid]] = field(default_factory=list)
    browser: Browser | None = None
    omitted: int = 0
    """Arms that the charts leave out."""


@dataclass
class Content:
    """Everything the page shows."""

    study: Study
    settings: Settings
    done: int
    planned: int
    missing: list[str]
    verdicts: Sequence[Verdict]
    levels: Mapping[str, str]
    questions: list[QuestionSection]
    matrix: Grid
    weightings: Grid
    above_chance: Grid
    generalisation: Grid
    training: list[Drawn]
    training_grid: Grid
    efficiency: Grid
    budget: Grid
    parity: tuple[bool | None, str]
    leakage: Grid
    audit: Grid
    provenance: Provenance
    selftest: Mapping[str, Any] | None
    lines: list[str]

    def figures(self) -> Iterator[Drawn]:
        """Every figure of the page."""
        for question in self.questions:
            yield from question.figures
            yield from question.ablation
            yield from (drawn for drawn, _ in question.routing)
        yield from self.training

    def grids(self) -> Iterator[Grid]:
        """Every table that is also a file, those behind the figures among them."""
        yield from (self.matrix, self.weightings, self.above_chance, self.generalisation)
        yield from (drawn.data for drawn in self.figures() if drawn.data is not None)
        for question in self.questions:
            yield from (question.scores, question.differences, question.cells)
            yield question.extraction
            yield from (grid for _, grid in question.routing)
        yield from (self.efficiency, self.budget, self.leakage, self.audit, self.training_grid)
        yield self.provenance.runs


def gather(
    study: Study,
    analyses: Mapping[str, Analysis],
    verdicts: Sequence[Verdict],
    settings: Settings,
    selftest: Mapping[str, Any] | None,
) -> Content:
    """The page's content from the study's records."""
    arms = study.arms()
    style = every_look(study, arms)
    whole, ties = matrix(study, settings)
    done, planned = finished(study)
    curves_drawn, curves_grid = training_section(arms, main_arms(arms, analyses), style)
    return Content(
        study=study,
        settings=settings,
        done=done,
        planned=planned,
        missing=missing(whole),
        verdicts=verdicts,
        levels=levels(verdicts),
        questions=[question(study, one, style, settings) for one in analyses.values()],
        matrix=tables.scores(whole, ties, "matrix"),
        weightings=robustness.weightings(study, arms),
        above_chance=robustness.above_chance(study, arms),
        generalisation=robustness.generalisation(arms),
        training=curves_drawn,
        training_grid=curves_grid,
        efficiency=tables.efficiency(arms),
        budget=tables.budget(study),
        parity=tables.parity(study),
        leakage=tables.leakage(study),
        audit=audit.by_arm(study, arms),
        provenance=provenance(study),
        selftest=selftest,
        lines=[
            text for analysis in analyses.values() for text in significance_lines(study, analysis)
        ],
    )


def missing(whole: Table) -> list[str]:
    """Every gap of the study, by arm."""
    return list(whole.missing)


def every_look(study: Study, arms: Mapping[str, Arm]) -> dict[str, Look]:
    """A look an arm; a label that several questions use for one arm keeps one look."""
    style = looks(arms, [label for label, arm in arms.items() if not arm.trained])
    by_runs = {
        frozenset(r.identity for r in arm.runs.values()): style[k] for k, arm in arms.items()
    }
    for asked in study.questions.values():
        for label, arm in asked.arms.items():
            style.setdefault(label, by_runs[frozenset(r.identity for r in arm.runs.values())])
    return style


def significance_lines(study: Study, analysis: Analysis) -> list[str]:
    """The question as text: a block an arm, a line a task (STUDY.md A4)."""
    names = task_names((*study.tasks, MACRO))
    cells = analysis.table.rows
    found = [f"{analysis.question.text}"]
    for label, comparison in analysis.comparisons.items():
        found += ["", f"{analysis.baseline} -> {label}"]
        for endpoint, one in comparison.differences.items():
            text = line(
                names[endpoint], cells[analysis.baseline][endpoint], cells[label][endpoint], one
            )
            found.append(f"  {text}")
    return [*found, ""]


def question(
    study: Study, analysis: Analysis, style: Mapping[str, Look], settings: Settings
) -> QuestionSection:
    """One question."""
    asked, table = analysis.question, analysis.table
    names = task_names(table.endpoints)
    local = {label: style[label] for label in asked.arms}
    shown = scores.chosen(table, analysis.baseline)
    compared = {label: one.macro for label, one in analysis.comparisons.items()}
    texts = {
        label: sentence(label, analysis.baseline, one, settings.detect)
        for label, one in compared.items()
    }
    primary = pair_of(analysis)
    first = primary or next(iter(texts), None)
    kept = list(analysis.comparisons)[:MOST_LINES]
    section = QuestionSection(
        name=asked.name,
        text=asked.text,
        baseline=analysis.baseline,
        headline=texts[first] if first else "One arm alone: there is nothing to compare it with.",
        sentences=[texts[label] for label in kept[:MOST_SENTENCES] if label != first],
        lines=[(label, arm_lines(analysis, label, names)) for label in kept],
        scores=tables.scores(table, analysis.ties, f"{asked.name}_scores"),
        differences=tables.differences(analysis),
        cells=tables.cells(analysis, study.tasks),
        extraction=audit.by_task(analysis, study.tasks),
        ablation=ablations.figures(analysis, local),
        routing=routing_section(analysis),
        browser=browser(analysis, study.tasks),
        omitted=len(asked.arms) - len(shown),
    )
    visible = {label: one for label, one in compared.items() if label in shown}
    if any(one.estimate is not None for one in visible.values()):
        section.figures.append(scores.forest(asked.name, visible, analysis.baseline, local))
    if any(table.rows[label][e].mean is not None for label in shown for e in table.endpoints):
        section.figures.append(scores.bars(asked.name, table, local, names, shown))
        few = scores.chosen(table, analysis.baseline, MOST_RADAR)
        if len(study.tasks) > 2:
            section.figures.append(scores.radar(asked.name, table, local, names, few))
    if primary and len(study.tasks) > 1:
        each = {t: analysis.comparisons[primary].differences[t] for t in study.tasks}
        section.figures.append(
            scores.forest(
                f"{asked.name}_tasks", each, analysis.baseline,
                dict.fromkeys(each, local[primary]),
                f"{primary}: difference per task", names,
            )
        )  # fmt: skip
    return section


def arm_lines(analysis: Analysis, label: str, names: Mapping[str, str]) -> list[str]:
    """One arm's lines."""
    rows = analysis.table.rows
    return [
        line(names[e], rows[analysis.baseline][e], rows[label][e], one)
        for e, one in analysis.comparisons[label].differences.items()
    ]


def routing_section(analysis: Analysis) -> list[tuple[Drawn, Grid]]:
    """Routing weights of each arm with a router: task x teacher on one colour scale, and layers."""
    found: list[tuple[Drawn, Grid]] = []
    for label in scores.chosen(analysis.table, analysis.baseline):
        runs = [run for run in analysis.question.arms[label].unique() if run.done]
        weights = [routing(run) for run in runs]
        if not weights or not all(weights):
            continue
        per_task = [by_teacher(one) for one in weights]
        first = per_task[0]
        mean = np.mean([t.reindex_like(first).to_numpy(dtype=float) for t in per_task], axis=0)
        name = f"{analysis.question.name}_routing_{len(found)}"
        names = task_names([*first.index])
        drawn = scores.heatmap(
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


def main_arms(arms: Mapping[str, Arm], analyses: Mapping[str, Analysis]) -> list[str]:
    """The arms whose curves are drawn: baselines and primary arms first, then in order."""
    ranked: dict[frozenset[str], None] = {}
    for analysis in analyses.values():
        for label in (analysis.baseline, pair_of(analysis)):
            if label is not None:
                runs = analysis.question.arms[label].runs.values()
                ranked[frozenset(r.identity for r in runs)] = None
    for arm in arms.values():
        ranked.setdefault(frozenset(r.identity for r in arm.runs.values()), None)
    by_runs = {frozenset(r.identity for r in a.runs.values()): k for k, a in arms.items()}
    return [by_runs[key] for key in ranked if arms[by_runs[key]].trained][:MOST_CURVES]


def training_section(
    arms: Mapping[str, Arm], labels: Sequence[str], style: Mapping[str, Look]
) -> tuple[list[Drawn], Grid]:
    """Curves of the main arms, mean over seeds; an arm that lacks one is left out by name."""
    means = []
    waiting = [label for label in labels if not all(r.done for r in arms[label].runs.values())]
    for label in labels:
        read = [curves(run) for run in arms[label].unique() if label not in waiting]
        read = [table for table in read if len(table)]
        if read:
            means.append(training.mean_curves(label, read))
    if not means:
        return [], Grid("training", "Training", ["arm"], [])
    column = training.accuracy_column(means)
    with_kv = [one for one in means if len(one.line("val", "kv")[0])]
    found = [training.convergence(means, style)]
    if with_kv:
        found.append(training.kv_loss(with_kv, style))
    if column is not None:
        found.append(training.accuracy(means, style, column))
        if with_kv:
            found.append(training.dual_axis(with_kv, style, column))
            found.append(training.stacked(with_kv, style, column))
    found.append(training.gap(means, style, column))
    return with_tables(found, means, column), training_grid(means, column, waiting)


def with_tables(
    drawn: Sequence[Drawn], means: Sequence[training.Curves], column: str | None
) -> list[Drawn]:
    """The figures of curves, each with the numbers it draws."""
    accuracy, both = [column] if column else [], ("train", "val")
    drawn_from: dict[str, tuple[list[str], tuple[str, ...]]] = {
        "convergence_curves": (["ce"], both),
        "kv_loss_curves": (["kv"], both),
        "task_accuracy_curves": (accuracy, both),
        "dual_axis_curve": (["kv", *accuracy], ("val",)),
        "stacked_curves": (["kv", *accuracy], ("val",)),
        "overfitting_analysis": (["ce", "kv", *accuracy], both),
    }
    return [
        replace(one, data=of_curves(one.name, one.title, means, *drawn_from[one.name]))
        for one in drawn
    ]


def training_grid(
    means: Sequence[training.Curves], column: str | None, waiting: Sequence[str]
) -> Grid:
    """First and last values, and how soon 90 % of the fall was reached."""
    names = [("ce", "CE"), ("kv", "KV loss"), *([(column, column)] if column else [])]
    heads = [f"{title} {when}" for _, title in names for when in ("first", "last")]
    rows = []
    for one in means:
        row = [Value(one.label)]
        for name, _ in names:
            _, y = one.line("val", name)
            ends = [float(y[0]), float(y[-1])] if len(y) else [None, None]
            row += [Value(DASH if v is None else f"{v:.3f}", v) for v in ends]
        step = training.convergence_step(one)
        row.append(Value(f"{step:.0f}", step) if step is not None else Value(DASH))
        rows.append(row)
    return Grid(
        "training", "Validation curves: first and last values, mean over seeds",
        ["arm", *heads, "90 % of the CE fall by step"], rows,
        note=f"Left out until all their seeds are done: {', '.join(waiting)}." if waiting else "",
    )  # fmt: skip
