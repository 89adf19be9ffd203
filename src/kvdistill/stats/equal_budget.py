"""Equal budgets, or no comparison.

Steps agree exactly, the number of texts within 1 %, and real tokens within 1 % where two runs read
the same texts. A question about the texts themselves (worked answers or bare ones) is asked at
equal steps and texts: their lengths are what it varies.
"""

from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any

from kvdistill.stats.study import Arm, Run, Study

TOLERANCE_BY_KEY = {"steps": 0.0, "sequences": 0.01, "real_tokens": 0.01}
"""What of a run's ledger must agree, and how nearly."""
TEXT_DEPENDENT_KEYS = ("real_tokens",)
"""Of these, what depends on which texts are read: compared within a seed and a set of texts."""


BudgetGroup = tuple[int, str | None] | None


def explain_unequal_runs(one: Run, other: Run) -> str:
    """Why two runs may not be compared; empty where their budgets agree or none is trained."""
    if not (one.trained and other.trained):
        return ""
    for key, tolerance in TOLERANCE_BY_KEY.items():
        groups = [get_budget_group(key, run.seed, run.budget) for run in (one, other)]
        if groups[0] != groups[1]:
            continue
        ours, theirs = one.budget.get(key), other.budget.get(key)
        if ours is not None and theirs is not None and exceeds_tolerance(ours, theirs, tolerance):
            amount = f"{ours:,} {format_key(key)}"
            return f"{describe_run(one)} trained {amount} and {describe_run(other)} {theirs:,}"
    return ""


def explain_unequal_arms(arm: Arm, baseline: Arm) -> str:
    """Why two arms may not be compared; empty where every pair of their runs may."""
    pairs = ((a, b) for a in arm.distinct_runs() for b in baseline.distinct_runs())
    return next((why for a, b in pairs if (why := explain_unequal_runs(a, b))), "")


def list_budget_outliers(study: Study) -> list[str]:
    """The arms whose budget is not that of the study's others, a sentence each."""
    arms = {label: arm for label, arm in study.distinct_arms().items() if arm.trained}
    runs = [run for arm in arms.values() for run in arm.distinct_runs() if run.budget]
    sentences = []
    for key, tolerance in TOLERANCE_BY_KEY.items():
        medians = median_by_group(key, [(run.seed, run.budget) for run in runs])
        for label, arm in arms.items():
            for run in (each for each in arm.distinct_runs() if key in each.budget):
                median_amount = medians[get_budget_group(key, run.seed, run.budget)]
                if exceeds_tolerance(run.budget[key], median_amount, tolerance):
                    amount = f"{run.budget[key]:,} {format_key(key)}, not {median_amount:,.0f}"
                    sentences.append(f"{label} (seed {run.seed}) trained {amount}")
    return sentences


def median_by_group(
    key: str, ledgers: Iterable[tuple[int, Mapping[str, Any]]]
) -> dict[BudgetGroup, float | int]:
    """The median amount within each group, of (seed, ledger)."""
    amounts: dict[BudgetGroup, list[float | int]] = {}
    for seed, ledger in ledgers:
        if key in ledger:
            amounts.setdefault(get_budget_group(key, seed, ledger), []).append(ledger[key])
    return {each: median(values) for each, values in amounts.items()}


def get_budget_group(key: str, seed: int, ledger: Mapping[str, Any]) -> BudgetGroup:
    """Equal for runs that an equal budget would give the same amount of this."""
    return (seed, ledger.get("texts")) if key in TEXT_DEPENDENT_KEYS else None


def list_runs_with_ledger(study: Study) -> Sequence[Run]:
    """The trained runs whose budget is on record."""
    return [run for run in study.runs.values() if run.budget]


def exceeds_tolerance(value: float | int, expected: float | int, tolerance: float) -> bool:
    """Whether two amounts differ by more than a share of the larger."""
    return abs(value - expected) > tolerance * max(abs(value), abs(expected))


def describe_run(run: Run) -> str:
    return f"{run.arm} (seed {run.seed})"


def format_key(key: str) -> str:
    return key.replace("_", " ")
