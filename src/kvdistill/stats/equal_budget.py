"""Equal budgets, or no comparison: in steps, in FLOPs or in time.

In the view of equal steps, steps agree exactly, the number of texts within 1 %, and real tokens
within 1 % where two runs read the same texts. A question about the texts themselves (worked answers
or bare ones) is asked at equal steps and texts: their lengths are what it varies.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import fmean, median
from typing import Any

from kvdistill.stats.study import (
    EQUAL_FLOPS,
    EQUAL_STEPS,
    EQUAL_TIME,
    Arm,
    QuestionRecords,
    Run,
    Study,
)

TOLERANCE_BY_KEY = {"steps": 0.0, "sequences": 0.01, "real_tokens": 0.01}
"""What of a run's ledger must agree, and how nearly."""
TEXT_DEPENDENT_KEYS = ("real_tokens",)
"""Of these, what depends on which texts are read: compared within a seed and a set of texts."""


BudgetGroup = tuple[int, str | None] | None


def explain_unequal_arms(arm: Arm, baseline: Arm, view: str = EQUAL_STEPS) -> str:
    """Why two arms may not be compared in a view; empty where they may, or none is trained."""
    if not (arm.trained and baseline.trained):
        return ""
    if view != EQUAL_STEPS:
        return explain_unequal_amounts(arm, baseline, *AMOUNTS[view])
    pairs = ((a, b) for a in arm.distinct_runs() for b in baseline.distinct_runs())
    return next((why for a, b in pairs if (why := explain_unequal_runs(a, b))), "")


def explain_unequal_runs(one: Run, other: Run) -> str:
    """Why two runs may not be compared at equal steps; empty where they may."""
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


def explain_unequal_amounts(
    arm: Arm, baseline: Arm, read: Callable[[Run], float | None], words: str, tolerance: float
) -> str:
    """The same of what was really spent, in the mean over each arm's runs."""
    amounts, steps = [], []
    for each in (arm, baseline):
        runs = each.distinct_runs()
        values = [value for run in runs if (value := read(run)) is not None]
        if len(values) < len(runs):
            return f"{each.label} has no {words} on record"
        amounts.append(fmean(values))
        steps.append(fmean(run.budget["steps"] for run in runs))
    # A whole step is the least by which a budget can be set.
    step = max(amount / count for amount, count in zip(amounts, steps, strict=True))
    if abs(amounts[0] - amounts[1]) <= max(step, tolerance * max(amounts)):
        return ""
    share = abs(amounts[0] / amounts[1] - 1)
    return (
        f"{arm.label} took {amounts[0]:.4g} {words} and {baseline.label} {amounts[1]:.4g}: "
        f"{share:.1%} apart, more than one step and than {tolerance:.0%}"
        f"{describe_token_ratios(arm, baseline)}"
    )


def describe_token_ratios(*arms: Arm) -> str:
    """What a plan should reckon with, of teachers that read more or fewer tokens than the student.

    Empty where all read as many.
    """
    ratios = {
        name: count / run.budget["real_tokens"]
        for arm in arms
        for run in arm.distinct_runs()
        for name, count in (run.budget.get("teacher_tokens") or {}).items()
    }
    other = [f"{name} {ratio:.2f}" for name, ratio in ratios.items() if f"{ratio:.2f}" != "1.00"]
    if not other:
        return ""
    return (
        f". For each token of the student teachers read: {', '.join(other)}; a plan reckons with "
        f"teachers.NAME.tokens_per_student_token"
    )


def count_run_flops(run: Run) -> float | None:
    """Operations of the student and of its teachers, those of a store counted as read anew.

    And of all answers that teachers wrote for it, as if no other run trained on them.
    """
    stored = run.budget.get("stored_teacher_flops", None if read_store(run) else 0)
    parts = [run.budget.get("student_flops"), run.budget.get("teacher_flops"), stored]
    parts += [facts["flops"] for facts in (run.budget.get("answers") or {}).values()]
    known = [part for part in parts if part is not None]
    return float(sum(known)) if len(known) == len(parts) else None


def read_store(run: Run) -> bool:
    """Whether a run read its teachers from a store."""
    return bool(run.budget.get("stored_bytes"))


def read_train_seconds(run: Run) -> float | None:
    """Seconds trained, validation left out; None where nobody knows on which processor."""
    return run.budget.get("train_s") if run.budget.get("device") else None


AMOUNTS: Mapping[str, tuple[Callable[[Run], float | None], str, float]] = {
    EQUAL_FLOPS: (count_run_flops, "FLOPs of student and teachers", 0.02),
    EQUAL_TIME: (read_train_seconds, "seconds on a known processor", 0.05),
}
"""View -> what must agree, how it is called, and how nearly.

A plan reckons with full texts and with as many tokens of a teacher as its YAML says, a ledger
counts what was read. Seconds vary by some percent from one run of a recipe to the next.
"""


def choose_view(arm: Arm, baseline: Arm, question: QuestionRecords | None) -> str:
    """In what two arms have to be equal: the question's view.

    But where the steps of one were worked out from the FLOPs of the other, the view is FLOPs.
    """
    if question is None or question.match != EQUAL_STEPS:
        return question.match if question else EQUAL_STEPS
    sources = [find_source(each.label, question.matched) for each in (arm, baseline)]
    derived = any(each.label in question.matched for each in (arm, baseline))
    return EQUAL_FLOPS if derived and sources[0] == sources[1] else EQUAL_STEPS


def find_source(label: str, matched: Mapping[str, str]) -> str:
    """The arm whose own budget a label's was worked out from, at last; itself where none was."""
    while label in matched:
        label = matched[label]
    return label


def list_other_views(study: Study) -> dict[frozenset[str], str]:
    """Runs (by identity) of arms that are meant to be equal in another view than steps -> view."""
    views: dict[frozenset[str], str] = {}
    for question in study.questions.values():
        for label, arm in question.arms.items():
            view = EQUAL_FLOPS if label in question.matched else question.match
            if (
                view != EQUAL_STEPS
                and arm.trained
                and (label in question.matched or view == EQUAL_TIME)
            ):
                views[frozenset(run.identity for run in arm.runs.values())] = view
    return views


def list_budget_outliers(study: Study) -> list[str]:
    """The arms whose budget is not that of the study's others, a sentence each.

    Arms whose steps were worked out to be equal in another view are compared there alone.
    """
    other_views = list_other_views(study)
    arms = {
        label: arm
        for label, arm in study.distinct_arms().items()
        if arm.trained and frozenset(run.identity for run in arm.runs.values()) not in other_views
    }
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
