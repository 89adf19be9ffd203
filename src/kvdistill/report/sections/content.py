"""What the page shows, from the study's records and the analysis of them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kvdistill.report.figures.style import ArmStyle, make_arm_styles
from kvdistill.report.page_data import PageContent
from kvdistill.report.sections import (
    agreement,
    budget,
    extraction_audit,
    leakage,
    question,
    robustness,
    score_tables,
    speed,
    withdrawn,
)
from kvdistill.report.sections.answers import counterparts
from kvdistill.report.sections.choose_arms import choose_curve_arms, get_run_ids
from kvdistill.report.sections.provenance import make_provenance
from kvdistill.report.sections.training import build_training_section
from kvdistill.report.tuning.section import list_tuning_sections
from kvdistill.stats.analysis import Analysis, build_arm_matrix
from kvdistill.stats.arm_differences import explain_undeclared
from kvdistill.stats.audit.summary import summarise_history
from kvdistill.stats.settings import Settings
from kvdistill.stats.study import Arm, Study
from kvdistill.stats.summary import count_finished_runs
from kvdistill.stats.verdicts import Verdict, judge_levels


def gather_content(
    study: Study,
    analyses: Mapping[str, Analysis],
    verdicts: Sequence[Verdict],
    settings: Settings,
    selftest: Mapping[str, Any] | None,
) -> PageContent:
    """Everything the page shows; draws its figures.

    Args:
        study: the records.
        analyses: question -> its comparisons.
        verdicts: of the hypotheses and criteria.
        settings: of the analysis, for what the page says of its methods.
        selftest: selftest.json, where it was run.
    """
    arms = study.distinct_arms()
    styles = style_all_arms(study, arms)
    matrix_table, ties = build_arm_matrix(study, settings)
    done, planned = count_finished_runs(study)
    short = {label: shorten_label(arm) for label, arm in arms.items()}
    curve_figures, curve_table = build_training_section(
        {short[label]: arm for label, arm in arms.items()},
        [short[label] for label in choose_curve_arms(arms, analyses)],
        {short[label]: styles[label] for label in arms},
    )
    return PageContent(
        study=study,
        settings=settings,
        done=done,
        planned=planned,
        missing=[*list_failure_reasons(arms), *matrix_table.missing],
        withdrawn=withdrawn.tabulate_withdrawn(study),
        verdicts=verdicts,
        levels=judge_levels(verdicts),
        questions=[
            question.build_question(study, analysis, styles, settings)
            for analysis in analyses.values()
        ],
        tunings=list(list_tuning_sections(study, styles)),
        matrix=score_tables.tabulate_scores(matrix_table, ties, "matrix"),
        weightings=robustness.tabulate_weightings(study, arms),
        above_chance=robustness.tabulate_above_chance(study, arms),
        generalisation=robustness.tabulate_generalisation(arms),
        training=curve_figures,
        training_table=curve_table,
        agreement=agreement.tabulate_agreement(arms),
        efficiency=budget.tabulate_efficiency(arms),
        speed=speed.tabulate_speed(arms),
        speed_sentence=speed.summarize_speed(arms),
        budget=budget.tabulate_budgets(study),
        parity=budget.check_budget_parity(study),
        undeclared=list(list_undeclared_sentences(analyses)),
        leakage=leakage.tabulate_leakage(study),
        leak_verdicts=leakage.judge_leakage(study),
        audit=extraction_audit.tabulate_by_arm(study, arms),
        cut_off=list(extraction_audit.list_cut_sentences(arms)),
        counterparts=counterparts.tabulate_counterparts(study),
        provenance=make_provenance(study, settings),
        history=summarise_history(study, settings),
        selftest=selftest,
        lines=[
            line
            for analysis in analyses.values()
            for line in question.list_significance_lines(study, analysis)
        ],
    )


def list_undeclared_sentences(analyses: Mapping[str, Analysis]) -> Iterator[str]:
    """Each arm that differs from its question's baseline in what no sweep declares."""
    for name, analysis in analyses.items():
        for label, comparison in analysis.comparisons.items():
            if why := explain_undeclared(comparison.contrast):
                yield f"{name}: {analysis.baseline} and {label} differ in {why}"


def list_failure_reasons(arms: Mapping[str, Arm]) -> Iterator[str]:
    """Each reason for which runs failed, with the runs that it stopped."""
    failed: dict[str, dict[str, None]] = {}
    for arm in arms.values():
        for run in arm.runs.values():
            if run.error:
                failed.setdefault(run.error, {})[f"{arm.label}, seed {run.seed}"] = None
    for error, names in failed.items():
        yield f"{'; '.join(names)}: {error}"


def shorten_label(arm: Arm) -> str:
    """A shared arm's name in a figure's legend: its first label, and how many more it has."""
    return f"{arm.labels[0]} (+{len(arm.labels) - 1})" if len(arm.labels) > 1 else arm.label


def style_all_arms(study: Study, arms: Mapping[str, Arm]) -> dict[str, ArmStyle]:
    """Label -> style, for the labels of `arms` and of every question.

    Runs that questions call by different labels have one style.
    """
    styles = make_arm_styles(arms, [label for label, arm in arms.items() if not arm.trained])
    style_by_runs = {get_run_ids(arm): styles[label] for label, arm in arms.items()}
    for each in study.questions.values():
        for label, arm in each.arms.items():
            # Every run of a question belongs to an arm of the study, perhaps by another label.
            styles.setdefault(label, style_by_runs[get_run_ids(arm)])
    return styles
