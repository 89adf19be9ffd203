"""How far a measure is from the bound of a claim, as a p value: what corrections work on.

An interval on one side of the bound is a test at one level; a correction over several claims needs
the level at which the interval's end would touch the bound, which is the two-sided p.
"""

from collections.abc import Sequence

import numpy as np

from kvdistill.stats.combined_interval import compute_largest_p


def compute_bound_p(
    estimate: float,
    bound: float,
    errors: Sequence[tuple[float, float]],
    *,
    is_percent: bool = False,
) -> float | None:
    """Two-sided p of the estimate's truth being the bound, by Student's t.

    Args:
        estimate: in the unit of the bound.
        bound: of the claim.
        errors: (standard error of the estimate, its degrees of freedom), of the log ratio where
            `is_percent`: over all that varies, and over seeds alone; the largest p counts.
        is_percent: whether both are percent by which two positive quantities differ.

    Returns:
        None without an error.
    """
    if not errors:
        return None
    distance = estimate - bound
    if is_percent:
        # A positive quantity cannot be less by 100 %: the bound is passed whatever was measured.
        if bound <= -100:
            return 0.0
        distance = float(np.log1p(estimate / 100) - np.log1p(bound / 100))
    return compute_largest_p(distance, errors)


def compute_count_p(gains: Sequence[float], estimate: float, bound: float, at_least: bool) -> float:
    """Two-sided p of a claim on the number of tasks with a gain.

    Tested on the side on which the estimate lies: that enough tasks gain, or that enough do not.

    Args:
        gains: of each task the one-sided p of having no gain.
        estimate: number of tasks with a gain.
        bound: that the claim asks for.
        at_least: whether it asks for that many or more; else for that many or fewer.
    """
    losses = [1 - p for p in gains]
    # Fewer than k of m gain where at least m - k + 1 do not.
    fewest = int(np.ceil(bound)) if at_least else int(np.floor(bound)) + 1
    one_sided = (
        combine_partially(gains, fewest)
        if estimate >= fewest
        else combine_partially(losses, len(gains) - fewest + 1)
    )
    return min(1.0, 2 * one_sided)


def bound_count(gains: Sequence[float], alpha: float) -> tuple[int, int]:
    """(fewest, most) tasks with a gain that are not rejected at a two-sided level."""
    losses = [1 - p for p in gains]
    fewest, others = (
        max(k for k in range(len(gains) + 1) if 2 * combine_partially(side, k) <= alpha)
        for side in (gains, losses)
    )
    return fewest, len(gains) - others


def combine_partially(p_values: Sequence[float], least: int) -> float:
    """P of fewer than `least` hypotheses being false (Benjamini and Heller 2008, after Simes).

    Valid where the tests are independent or positively dependent, as scores of one checkpoint are.
    0 where none need be false, 1 where there are not so many.
    """
    count = len(p_values)
    if least <= 0:
        return 0.0
    if least > count:
        return 1.0
    rest = np.sort(p_values)[least - 1 :]
    return float(min(1.0, ((count - least + 1) / np.arange(1, len(rest) + 1) * rest).min()))
