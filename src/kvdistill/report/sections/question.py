"""A question's section: its texts, its tables and its figures."""

from collections.abc import Mapping

from kvdistill.report.difference_text import describe_difference, format_significance_line
from kvdistill.report.figures.forest import draw_forest
from kvdistill.report.figures.scores import draw_radar, draw_score_bars
from kvdistill.report.figures.style import ArmStyle, RenderedFigure
from kvdistill.report.format import title_tasks
from kvdistill.report.page_data import (
    QuestionFigures,
    QuestionSection,
    QuestionTables,
    QuestionTexts,
)
from kvdistill.report.sections import extraction_audit, score_tables
from kvdistill.report.sections.ablations import draw_ablation
from kvdistill.report.sections.answers.answer_forms import (
    describe_answer_forms,
    tabulate_answer_forms,
)
from kvdistill.report.sections.choose_arms import choose_chart_arms, choose_primary_arm
from kvdistill.report.sections.disagreements import find_disagreements
from kvdistill.report.sections.fair_views import TITLES, tabulate_fair_views
from kvdistill.report.sections.routing import build_routing_section
from kvdistill.stats.analysis import Analysis
from kvdistill.stats.arm_differences import describe_contrast
from kvdistill.stats.audit.withdrawn import explain_withdrawal
from kvdistill.stats.compare import REFUSED, ArmComparison
from kvdistill.stats.settings import Settings
from kvdistill.stats.study import MACRO, QuestionRecords, Study

MAX_ARMS_WITH_LINES = 12
"""Arms whose per-task lines stand in the page; significance.txt has all."""
MAX_SENTENCES = 8
MAX_RADAR_ARMS = 5


def build_question(
    study: Study, analysis: Analysis, styles: Mapping[str, ArmStyle], settings: Settings
) -> QuestionSection:
    """One question's section; `styles` holds every arm of the question."""
    question = analysis.question
    return QuestionSection(
        name=question.name,
        text=question.text,
        baseline=analysis.baseline,
        texts=describe_question(study, analysis, settings),
        tables=tabulate_question(study, analysis, settings),
        figures=draw_question(
            study, analysis, {label: styles[label] for label in question.arms}, settings
        ),
        disagreements=find_disagreements(analysis, study.tasks),
    )


def describe_question(study: Study, analysis: Analysis, settings: Settings) -> QuestionTexts:
    """The primary arm's sentence, or the first arm's, then the others' and their lines."""
    sentences = {
        label: describe_comparison(comparison, settings)
        for label, comparison in analysis.comparisons.items()
    }
    first = (
        find_refused_primary(analysis)
        or choose_primary_arm(analysis)
        or next(iter(sentences), None)
    )
    labels = list(sentences)[:MAX_ARMS_WITH_LINES]
    headline = sentences[first] if first else "One arm alone: there is nothing to compare it with."
    return QuestionTexts(
        # Not the best of the other arms in its place: nobody has asked about that one.
        headline=explain_primary_withdrawal(study, analysis.question) or headline,
        sentences=[sentences[label] for label in labels[:MAX_SENTENCES] if label != first],
        reversals=describe_answer_forms(analysis),
        lines=[(label, list_arm_lines(study, analysis, label)) for label in labels],
    )


def explain_primary_withdrawal(study: Study, question: QuestionRecords) -> str:
    """Why the comparison that the question names first cannot be made; empty where it can."""
    named = [str((question.primary or {}).get(side)) for side in ("arm", "baseline")]
    reasons = [
        explain_withdrawal(study, question.name, label)
        for label in named
        if label not in question.arms
    ]
    text = "; ".join(filter(None, reasons))
    return f"No primary comparison: {text}." if text else ""


def find_refused_primary(analysis: Analysis) -> str | None:
    """The arm that the question names first, where it was not made equally: none replaces it."""
    named = str((analysis.question.primary or {}).get("arm"))
    comparison = analysis.comparisons.get(named)
    return named if comparison and comparison.macro.status in REFUSED else None


def describe_comparison(comparison: ArmComparison, settings: Settings) -> str:
    """The difference on the average, and what else differs; a refusal has that in its reason."""
    sentence = describe_difference(comparison.arm, comparison.baseline, comparison.macro, settings)
    if comparison.macro.status in REFUSED:
        return sentence
    names = f"{comparison.baseline} and {comparison.arm}"
    return f"{sentence} {names} differ in {describe_contrast(comparison.contrast)}."


def list_arm_lines(study: Study, analysis: Analysis, label: str) -> list[str]:
    """One arm against the baseline: what differs, then a line an endpoint."""
    names = title_tasks((*study.tasks, MACRO))
    rows, comparison = analysis.table.rows, analysis.comparisons[label]
    contrast = f"Differs in {describe_contrast(comparison.contrast)}; {TITLES[comparison.view]}"
    return [contrast] + [
        format_significance_line(
            names[endpoint], rows[analysis.baseline][endpoint], rows[label][endpoint], difference
        )
        for endpoint, difference in comparison.differences.items()
    ]


def list_significance_lines(study: Study, analysis: Analysis) -> list[str]:
    """The question's part of significance.txt: a block an arm, a line an endpoint."""
    lines = [analysis.question.text]
    for label in analysis.comparisons:
        lines += ["", f"{analysis.baseline} -> {label}"]
        lines += [f"  {line}" for line in list_arm_lines(study, analysis, label)]
    return [*lines, ""]


def tabulate_question(study: Study, analysis: Analysis, settings: Settings) -> QuestionTables:
    """Scores, differences, views of fairness and how the answers were extracted."""
    name = f"{analysis.question.name}_scores"
    return QuestionTables(
        scores=score_tables.tabulate_scores(analysis.table, analysis.ties, name),
        differences=score_tables.tabulate_differences(analysis),
        task_differences=score_tables.tabulate_task_differences(analysis, study.tasks),
        answer_forms=tabulate_answer_forms(analysis),
        extraction=extraction_audit.tabulate_by_task(analysis, study.tasks),
        views=tabulate_fair_views(study, analysis, settings),
    )


def draw_question(
    study: Study, analysis: Analysis, styles: Mapping[str, ArmStyle], settings: Settings
) -> QuestionFigures:
    """Every figure of the question that has something to show."""
    shown = choose_chart_arms(analysis.table, analysis.baseline)
    return QuestionFigures(
        scores=[
            *draw_macro_forest(analysis, shown, styles, settings),
            *draw_score_charts(study, analysis, shown, styles),
            *draw_primary_forest(study, analysis, styles, settings),
        ],
        ablation=draw_ablation(analysis, styles),
        routing=build_routing_section(analysis, settings),
        omitted=len(analysis.question.arms) - len(shown),
    )


def draw_macro_forest(
    analysis: Analysis, shown: list[str], styles: Mapping[str, ArmStyle], settings: Settings
) -> list[RenderedFigure]:
    """Each shown arm's difference on the macro average; nothing without an estimate."""
    differences = {
        label: comparison.macro
        for label, comparison in analysis.comparisons.items()
        if label in shown
    }
    if all(difference.estimate is None for difference in differences.values()):
        return []
    return [
        draw_forest(
            analysis.question.name, differences, analysis.baseline, styles,
            confidence=settings.confidence,
        )
    ]  # fmt: skip


def draw_score_charts(
    study: Study, analysis: Analysis, shown: list[str], styles: Mapping[str, ArmStyle]
) -> list[RenderedFigure]:
    """Bars, and a radar of fewer arms; nothing while no shown arm has a score."""
    table, name = analysis.table, analysis.question.name
    cells = (table.rows[label][endpoint] for label in shown for endpoint in table.endpoints)
    if all(cell.mean is None for cell in cells):
        return []
    names = title_tasks(table.endpoints)
    figures = [draw_score_bars(name, table, styles, names, shown)]
    # Two axes span a line, not an area.
    if len(study.tasks) > 2:
        few = choose_chart_arms(table, analysis.baseline, MAX_RADAR_ARMS)
        figures.append(draw_radar(name, table, styles, names, few))
    return figures


def draw_primary_forest(
    study: Study, analysis: Analysis, styles: Mapping[str, ArmStyle], settings: Settings
) -> list[RenderedFigure]:
    """The primary arm's difference on each task; nothing where one task is all there is."""
    primary = choose_primary_arm(analysis)
    if primary is None or len(study.tasks) < 2:
        return []
    by_task = {task: analysis.comparisons[primary].differences[task] for task in study.tasks}
    return [
        draw_forest(
            f"{analysis.question.name}_tasks",
            by_task,
            analysis.baseline,
            dict.fromkeys(by_task, styles[primary]),
            f"{primary}: difference per task",
            title_tasks(analysis.table.endpoints),
            settings.confidence,
        )
    ]
