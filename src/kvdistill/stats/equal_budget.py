"""Equal budgets, or no comparison (STUDY.md A1).

Steps agree exactly, the number of texts within 1 %, and real tokens within 1 % where two runs read
the same texts. A question about the texts themselves (worked answers or bare ones) is asked at
equal steps and texts: their lengths are what it varies.
"""

from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any

from kvdistill.stats.study import Arm, Run, Study

TOLERANCE = {"steps": 0.0, "sequences": 0.01, "real_tokens": 0.01}
"""What of a run's ledger must agree, and how nearly."""
BY_TEXTS = ("real_tokens",)
"""Of these, what depends on which texts are read: compared within a seed and a set of texts."""


Group = tuple[int, str | None] | None


def unequal(one: Run, other: Run) -> str:
    """Why two runs may not be compared; empty where their budgets agree or none is trained."""
    if not (one.trained and other.trained):
        return ""
    for key, tolerance in TOLERANCE.items():
        if group(key, one.seed, one.budget) != group(key, other.seed, other.budget):
            continue
        ours, theirs = one.budget.get(key), other.budget.get(key)
        if ours is not None and theirs is not None and off(ours, theirs, tolerance):
            return f"{name(one)} trained {ours:,} {words(key)} and {name(other)} {theirs:,}"
    return ""


def refused(arm: Arm, baseline: Arm) -> str:
    """Why two arms may not be compared; empty where every pair of their runs may."""
    pairs = ((a, b) for a in arm.unique() for b in baseline.unique())
    return next((why for a, b in pairs if (why := unequal(a, b))), "")


def outliers(study: Study) -> list[str]:
    """The arms whose budget is not that of the study's others, a sentence each."""
    arms = {label: arm for label, arm in study.arms().items() if arm.trained}
    runs = [run for arm in arms.values() for run in arm.unique() if run.budget]
    found = []
    for key, tolerance in TOLERANCE.items():
        normal = usual(key, [(run.seed, run.budget) for run in runs])
        for label, arm in arms.items():
            for run in (each for each in arm.unique() if key in each.budget):
                wanted = normal[group(key, run.seed, run.budget)]
                if off(run.budget[key], wanted, tolerance):
                    amount = f"{run.budget[key]:,} {words(key)}, not {wanted:,.0f}"
                    found.append(f"{label} (seed {run.seed}) trained {amount}")
    return found


def usual(key: str, ledgers: Iterable[tuple[int, Mapping[str, Any]]]) -> dict[Group, float | int]:
    """The median amount within each group, of (seed, ledger)."""
    amounts: dict[Group, list[float | int]] = {}
    for seed, ledger in ledgers:
        if key in ledger:
            amounts.setdefault(group(key, seed, ledger), []).append(ledger[key])
    return {each: median(found) for each, found in amounts.items()}


def group(key: str, seed: int, ledger: Mapping[str, Any]) -> Group:
    """Equal for runs that an equal budget would give the same amount of this."""
    return (seed, ledger.get("texts")) if key in BY_TEXTS else None


def checked(study: Study) -> Sequence[Run]:
    """The trained runs whose budget is on record."""
    return [run for run in study.runs.values() if run.budget]


def off(value: float | int, usual: float | int, tolerance: float) -> bool:
    """Whether two amounts differ by more than a share of the larger."""
    return abs(value - usual) > tolerance * max(abs(value), abs(usual))


def name(run: Run) -> str:
    return f"{run.arm} (seed {run.seed})"


def words(key: str) -> str:
    return key.replace("_", " ")
