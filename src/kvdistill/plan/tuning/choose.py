"""The rule by which one of an arm's trials wins: a function of what they measured alone."""

from collections.abc import Sequence
from dataclasses import replace
from math import inf

from kvdistill.errors import UserError
from kvdistill.plan.tuning.design import ACCURACY, CE
from kvdistill.plan.tuning.record import Trial, TunedArm, Tuning

RULES = {
    CE: "the lowest mean cross-entropy of the last validation over the tuning seeds; of equal "
    "ones the trial that was drawn first",
    ACCURACY: "the highest mean share of exact answers at the last validation over the tuning "
    "seeds; of equal ones the one of lower mean cross-entropy, then the one drawn first",
}
"""Measure -> the rule in words, as plan.json and the page have it."""
COLUMNS = {CE: "ce", ACCURACY: "exact_match"}
"""Measure -> what a trial's manifest calls it."""


def average_measure(trial: Trial, column: str) -> float | None:
    """The mean over the tuning seeds; None where one of them diverged or is still to come."""
    values = [None if each is None else each[column] for each in trial.measured.values()]
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(trial.runs) else None


def rank_trial(trial: Trial, measure: str) -> tuple[float, float]:
    """Lower is better; a trial that diverged comes last."""
    ce = average_measure(trial, COLUMNS[CE])
    if ce is None:
        return inf, inf
    if measure == CE:
        return ce, 0.0
    exact = average_measure(trial, COLUMNS[ACCURACY])
    return -(exact if exact is not None else -inf), ce


def find_winner(trials: Sequence[Trial], measure: str) -> int | None:
    """The place of the winner; None where every trial diverged."""
    ranks = [rank_trial(trial, measure) for trial in trials]
    # min takes the first of equal ones: the one that was drawn first.
    winner = min(range(len(ranks)), key=ranks.__getitem__)
    return None if ranks[winner][0] == inf else winner


def choose_trial(tuning: Tuning, label: str, measured: Sequence[Trial]) -> TunedArm:
    """The arm with its winner, sealed. Raises UserError where every trial diverged."""
    winner = find_winner(measured, tuning.design["measure"])
    if winner is None:
        raise UserError(
            f"{label}: all {len(measured)} trials diverged, so none can win. Give tune.grid lower "
            f"rates, and another study=NAME."
        )
    arm = replace(tuning.arms[label], trials=list(measured), winner=winner, sha256="")
    return replace(arm, sha256=tuning.hash_arm(arm))
