"""What the page says, section by section, before it becomes HTML."""

from collections.abc import Mapping, Sequence
from typing import Any

from kvdistill.report.figures import scores
from kvdistill.report.figures.forest import draw_forest
from kvdistill.report.figures.style import ArmStyle, make_arm_styles
from kvdistill.report.format import describe_difference, format_significance_line, title_tasks
from kvdistill.report.page_data import PageContent, QuestionSection
from kvdistill.report.sections import ablations, extraction_audit, robustness, score_tables
from kvdistill.report.sections.disagreements import choose_primary_arm, find_disagreements
from kvdistill.report.sections.provenance import collect_provenance
from kvdistill.report.sections.routing import build_routing_section
from kvdistill.report.sections.training import build_training_section, choose_main_arms
from kvdistill.stats.analysis import Analysis, matrix
from kvdistill.stats.settings import Settings
from kvdistill.stats.study import MACRO, Arm, Study
from kvdistill.stats.summary import finished
from kvdistill.stats.verdicts import Verdict, levels

MAX_ARMS_WITH_LINES = 12
"""Arms whose per-task lines stand in the page; significance.txt has all."""
MAX_SENTENCES = 8
MAX_RADAR_ARMS = 5


def gather_content(
    study: Study,
    analyses: Mapping[str, Analysis],
    verdicts: Sequence[Verdict],
    settings: Settings,
    selftest: Mapping[str, Any] | None,
) -> PageContent:
    """The page's content from the study's records."""
    arms = study.arms()
    style = style_all_arms(study, arms)
    matrix_table, ties = matrix(study, settings)
    done, planned = finished(study)
    curves_drawn, curves_grid = build_training_section(
        arms, choose_main_arms(arms, analyses), style
    )
    return PageContent(
        study=study,
        settings=settings,
        done=done,
        planned=planned,
        missing=list(matrix_table.missing),
        verdicts=verdicts,
        levels=levels(verdicts),
        questions=[build_question(study, one, style, settings) for one in analyses.values()],
        matrix=score_tables.tabulate_scores(matrix_table, ties, "matrix"),
        weightings=robustness.tabulate_weightings(study, arms),
        above_chance=robustness.tabulate_above_chance(study, arms),
        generalisation=robustness.tabulate_generalisation(arms),
        training=curves_drawn,
        training_table=curves_grid,
        efficiency=score_tables.tabulate_efficiency(arms),
        budget=score_tables.tabulate_budgets(study),
        parity=score_tables.check_budget_parity(study),
        leakage=score_tables.tabulate_leakage(study),
        audit=extraction_audit.tabulate_by_arm(study, arms),
        provenance=collect_provenance(study, settings),
        selftest=selftest,
        lines=[
            text
            for analysis in analyses.values()
            for text in list_significance_lines(study, analysis)
        ],
    )


def style_all_arms(study: Study, arms: Mapping[str, Arm]) -> dict[str, ArmStyle]:
    """A look an arm; a label that several questions use for one arm keeps one look."""
    style = make_arm_styles(arms, [label for label, arm in arms.items() if not arm.trained])
    by_runs = {
        frozenset(r.identity for r in arm.runs.values()): style[k] for k, arm in arms.items()
    }
    for asked in study.questions.values():
        for label, arm in asked.arms.items():
            style.setdefault(label, by_runs[frozenset(r.identity for r in arm.runs.values())])
    return style


def list_significance_lines(study: Study, analysis: Analysis) -> list[str]:
    """The question as text: a block an arm, a line a task (STUDY.md A4)."""
    names = title_tasks((*study.tasks, MACRO))
    cells = analysis.table.rows
    lines = [f"{analysis.question.text}"]
    for label, comparison in analysis.comparisons.items():
        lines += ["", f"{analysis.baseline} -> {label}"]
        for endpoint, one in comparison.differences.items():
            text = format_significance_line(
                names[endpoint], cells[analysis.baseline][endpoint], cells[label][endpoint], one
            )
            lines.append(f"  {text}")
    return [*lines, ""]


def build_question(
    study: Study, analysis: Analysis, style: Mapping[str, ArmStyle], settings: Settings
) -> QuestionSection:
    """One question."""
    asked, table = analysis.question, analysis.table
    names = title_tasks(table.endpoints)
    local = {label: style[label] for label in asked.arms}
    shown = scores.choose_chart_arms(table, analysis.baseline)
    compared = {label: one.macro for label, one in analysis.comparisons.items()}
    texts = {
        label: describe_difference(label, analysis.baseline, one, settings.detect)
        for label, one in compared.items()
    }
    primary = choose_primary_arm(analysis)
    first = primary or next(iter(texts), None)
    kept = list(analysis.comparisons)[:MAX_ARMS_WITH_LINES]
    section = QuestionSection(
        name=asked.name,
        text=asked.text,
        baseline=analysis.baseline,
        headline=texts[first] if first else "One arm alone: there is nothing to compare it with.",
        sentences=[texts[label] for label in kept[:MAX_SENTENCES] if label != first],
        lines=[(label, list_arm_lines(analysis, label, names)) for label in kept],
        scores=score_tables.tabulate_scores(table, analysis.ties, f"{asked.name}_scores"),
        differences=score_tables.tabulate_differences(analysis),
        task_differences=score_tables.tabulate_task_differences(analysis, study.tasks),
        extraction=extraction_audit.tabulate_by_task(analysis, study.tasks),
        ablation=ablations.draw_ablation(analysis, local),
        routing=build_routing_section(analysis),
        disagreements=find_disagreements(analysis, study.tasks),
        omitted=len(asked.arms) - len(shown),
    )
    visible = {label: one for label, one in compared.items() if label in shown}
    if any(one.estimate is not None for one in visible.values()):
        section.figures.append(draw_forest(asked.name, visible, analysis.baseline, local))
    if any(table.rows[label][e].mean is not None for label in shown for e in table.endpoints):
        section.figures.append(scores.draw_score_bars(asked.name, table, local, names, shown))
        few = scores.choose_chart_arms(table, analysis.baseline, MAX_RADAR_ARMS)
        if len(study.tasks) > 2:
            section.figures.append(scores.draw_radar(asked.name, table, local, names, few))
    if primary and len(study.tasks) > 1:
        each = {t: analysis.comparisons[primary].differences[t] for t in study.tasks}
        section.figures.append(
            draw_forest(
                f"{asked.name}_tasks", each, analysis.baseline,
                dict.fromkeys(each, local[primary]),
                f"{primary}: difference per task", names,
            )
        )  # fmt: skip
    return section


def list_arm_lines(analysis: Analysis, label: str, names: Mapping[str, str]) -> list[str]:
    """One arm's lines."""
    rows = analysis.table.rows
    return [
        format_significance_line(names[e], rows[analysis.baseline][e], rows[label][e], difference)
        for e, difference in analysis.comparisons[label].differences.items()
    ]
