"""Which arms stand in a headline, in a chart and in the training curves."""

from collections.abc import Mapping

from kvdistill.stats.analysis import Analysis
from kvdistill.stats.study import MACRO, Arm
from kvdistill.stats.summary import Table

MAX_CHART_ARMS = 12
"""Arms in one chart; the table has them all."""
MAX_CURVE_ARMS = 6


def get_run_ids(arm: Arm) -> frozenset[str]:
    """What an arm is made of: two questions may call the same runs by different labels."""
    return frozenset(run.identity for run in arm.runs.values())


def choose_primary_arm(analysis: Analysis) -> str | None:
    """The arm that the question names as primary, else the best; None if none can be compared."""
    comparisons = analysis.comparisons
    primary = str((analysis.question.primary or {}).get("arm"))
    if primary in comparisons and comparisons[primary].macro.estimate is not None:
        return primary
    means = {
        label: analysis.table.rows[label][MACRO].mean or 0.0
        for label, comparison in comparisons.items()
        if comparison.macro.estimate is not None
    }
    return max(means, key=lambda label: means[label]) if means else None


def choose_chart_arms(table: Table, baseline: str | None, most: int = MAX_CHART_ARMS) -> list[str]:
    """The arms a chart shows: all, or the baseline and the best where there are too many."""
    arms = [label for label in table.rows if label not in table.references]
    if len(arms) <= most:
        return arms
    ranked = sorted(arms, key=lambda label: -(table.rows[label][MACRO].mean or 0.0))
    kept = {baseline, *[label for label in ranked if label != baseline][: most - 1]}
    return [label for label in arms if label in kept]


def choose_curve_arms(arms: Mapping[str, Arm], analyses: Mapping[str, Analysis]) -> list[str]:
    """The trained arms whose curves are drawn: baselines and primary arms first, then in order."""
    ranked: dict[frozenset[str], None] = {}
    for analysis in analyses.values():
        for label in (analysis.baseline, choose_primary_arm(analysis)):
            if label is not None:
                ranked[get_run_ids(analysis.question.arms[label])] = None
    for arm in arms.values():
        ranked.setdefault(get_run_ids(arm))
    label_by_runs = {get_run_ids(arm): label for label, arm in arms.items()}
    labels = [label_by_runs[runs] for runs in ranked]
    return [label for label in labels if arms[label].trained][:MAX_CURVE_ARMS]
