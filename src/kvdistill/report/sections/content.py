"""What the page says, section by section, before it becomes HTML."""

from collections.abc import Mapping, Sequence
from typing import Any

from kvdistill.report.figures import scores
from kvdistill.report.figures.forest import forest
from kvdistill.report.figures.style import Look, looks
from kvdistill.report.format import line, sentence, task_names
from kvdistill.report.page_data import Content, QuestionSection
from kvdistill.report.sections import ablations, extraction_audit, robustness, score_tables
from kvdistill.report.sections.disagreements import browser, pair_of
from kvdistill.report.sections.provenance import provenance
from kvdistill.report.sections.routing import routing_section
from kvdistill.report.sections.training import main_arms, training_section
from kvdistill.stats.analysis import Analysis, matrix
from kvdistill.stats.settings import Settings
from kvdistill.stats.study import MACRO, Arm, Study
from kvdistill.stats.summary import finished
from kvdistill.stats.verdicts import Verdict, levels

MOST_LINES = 12
"""Arms whose per-task lines stand in the page; significance.txt has all."""
MOST_SENTENCES = 8
MOST_RADAR = 5


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
        missing=list(whole.missing),
        verdicts=verdicts,
        levels=levels(verdicts),
        questions=[question(study, one, style, settings) for one in analyses.values()],
        matrix=score_tables.scores(whole, ties, "matrix"),
        weightings=robustness.weightings(study, arms),
        above_chance=robustness.above_chance(study, arms),
        generalisation=robustness.generalisation(arms),
        training=curves_drawn,
        training_grid=curves_grid,
        efficiency=score_tables.efficiency(arms),
        budget=score_tables.budget(study),
        parity=score_tables.parity(study),
        leakage=score_tables.leakage(study),
        audit=extraction_audit.by_arm(study, arms),
        provenance=provenance(study, settings),
        selftest=selftest,
        lines=[
            text for analysis in analyses.values() for text in significance_lines(study, analysis)
        ],
    )


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
        scores=score_tables.scores(table, analysis.ties, f"{asked.name}_scores"),
        differences=score_tables.differences(analysis),
        cells=score_tables.cells(analysis, study.tasks),
        extraction=extraction_audit.by_task(analysis, study.tasks),
        ablation=ablations.figures(analysis, local),
        routing=routing_section(analysis),
        browser=browser(analysis, study.tasks),
        omitted=len(asked.arms) - len(shown),
    )
    visible = {label: one for label, one in compared.items() if label in shown}
    if any(one.estimate is not None for one in visible.values()):
        section.figures.append(forest(asked.name, visible, analysis.baseline, local))
    if any(table.rows[label][e].mean is not None for label in shown for e in table.endpoints):
        section.figures.append(scores.bars(asked.name, table, local, names, shown))
        few = scores.chosen(table, analysis.baseline, MOST_RADAR)
        if len(study.tasks) > 2:
            section.figures.append(scores.radar(asked.name, table, local, names, few))
    if primary and len(study.tasks) > 1:
        each = {t: analysis.comparisons[primary].differences[t] for t in study.tasks}
        section.figures.append(
            forest(
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
