"""Tunings in memory, as trials would have measured them."""

from collections.abc import Sequence

from kvdistill.plan.tuning.choose import RULES, choose_trial
from kvdistill.plan.tuning.record import Trial, TunedArm, Tuning

SEEDS = (1, 2)
Pair = tuple[float, float]
"""ce and exact_match."""


def make_trial(number: int, *measured: Pair | None, label: str = "kv") -> Trial:
    """With one pair a tuning seed, None where it diverged; planned only, where none is given."""
    return Trial(
        {"train.lr": number / 1000},
        {str(seed): f"{label}-{number}-{seed}" for seed in SEEDS},
        {
            str(seed): None
            if pair is None
            else {"ce": float(pair[0]), "exact_match": float(pair[1])}
            for seed, pair in zip(SEEDS, measured, strict=False)
        },
    )


def make_tuning(measure: str = "ce", **trials: Sequence[Trial]) -> Tuning:
    """Nothing chosen yet."""
    design = {"trials": 2, "seeds": list(SEEDS), "measure": measure, "draw": 0}
    arms = {label: TunedArm(label, list(each)) for label, each in trials.items()}
    return Tuning(design, RULES[measure], arms)


def choose_all(tuning: Tuning) -> Tuning:
    """The same with the winner of every arm."""
    arms = {label: choose_trial(tuning, label, arm.trials) for label, arm in tuning.arms.items()}
    return Tuning(tuning.design, tuning.rule, arms)
