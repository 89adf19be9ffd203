"""What the recipe can claim: new seeds and new items, from a few seeds and many items.

Three things move a difference: the seeds, the items, and which items a run happens to get right
(run noise). The spread of the per-seed differences holds seeds and run noise; the items' own part
is what is left of the variance over items once run noise is taken out of it, so that no part is
counted twice. The degrees of freedom are Satterthwaite's (1946) with the seed part weighed half as
much again, since a spread that few seeds happen to show too small would otherwise also claim to be
well known. And no claim about new seeds and new items is surer than Student's t over these seeds
would be for these very items: far in the tail, where several claims are corrected together, the sum
alone errs two to five times as often as it says (three seeds whose spread is three to ten times the
items'). With two seeds it errs up to 12 %, so three are asked for.
"""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from scipy import special

from kvdistill.stats.bootstrap import ConfidenceInterval, Stratum, make_stratum

MIN_SEEDS = 3
SEED_WEIGHT = 1.5
"""Of the seed part where degrees of freedom are worked out; its variance counts once."""
PRIOR_DF = 1
"""What the pooled variance of a question's arms counts for. The 4 of Smyth (2004) err 9 to 12 %
where the tested arm scatters two or three times as far."""
MIN_POOLED_ARMS = 4
MAX_VARIANCE_RATIO = 2.0
"""A pair whose own variance exceeds the pooled one by this is not moderated: shrinking it would
claim what its seeds do not say."""


Amount = TypeVar("Amount", float, np.ndarray)


def combine_variances(
    estimate: float,
    seed_parts: Sequence[tuple[float, int]],
    item_se: float,
    item_df: float,
    confidence: float = 0.95,
    prior_df: int = 0,
) -> ConfidenceInterval | None:
    """The recipe-level interval.

    Args:
        estimate: mean difference, in [-1, 1].
        seed_parts: (variance of the mean over seeds, its degrees of freedom): one part for
            paired seeds, one an arm for unpaired ones. Run noise is in them.
        item_se: standard error over items of the seed-averaged difference, without run noise
            (`separate_item_variance`).
        item_df: its degrees of freedom.
        confidence: of the interval.
        prior_df: what a moderated seed part has beyond its own degrees of freedom.

    Returns:
        None where there is no variance, or fewer than three seeds: no claim over new seeds.
    """
    if any(df < MIN_SEEDS - 1 for _, df in seed_parts):
        return None
    variance = sum(part for part, _ in seed_parts) + item_se**2
    if variance <= 0 or not any(part > 0 for part, _ in seed_parts):
        return None
    moderated = [(part, df + prior_df) for part, df in seed_parts]
    se, df = float(np.sqrt(variance)), float(approximate_df(moderated, item_se**2, item_df))
    # Without items what is left is Welch's df, in which the common weight cancels.
    seed_error = (
        float(np.sqrt(sum(part for part, _ in moderated))), float(approximate_df(moderated, 0.0, 1))
    )  # fmt: skip
    errors = [(se, df), seed_error]
    half = max(float(special.stdtrit(n, (1 + confidence) / 2)) * error for error, n in errors)
    return ConfidenceInterval(
        estimate=estimate,
        se=se,
        df=df,
        low=estimate - half,
        high=estimate + half,
        p=compute_largest_p(estimate, errors),
        seed_error=seed_error,
    )


def compute_largest_p(distance: float, errors: Sequence[tuple[float, float]]) -> float:
    """Two-sided p of a distance by Student's t, the largest over (standard error, df)."""
    return max(float(2 * special.stdtr(min(df, 1e9), -abs(distance) / se)) for se, df in errors)


def approximate_df(
    seed_parts: Sequence[tuple[Amount, float | int]], item_variance: Amount, item_df: float | int
) -> Amount:
    """Degrees of freedom of the sum of the variances, by Satterthwaite, SEED_WEIGHT being used.

    Args:
        seed_parts: (variance of the mean over seeds, its degrees of freedom).
        item_variance: of the items' own part.
        item_df: its degrees of freedom.

    Variances may be numbers or arrays that broadcast; one of them is positive.
    """
    weighed = [(SEED_WEIGHT * part, df) for part, df in seed_parts]
    total = sum((part for part, _ in weighed), start=item_variance)
    return total**2 / sum((part**2 / df for part, df in weighed), start=item_variance**2 / item_df)


def pool_seed_variance(scores: np.ndarray) -> float:
    """Variance of a difference of two arms under one seed, pooled over all of them.

    Twice the mean square of arms x seeds: a shift that all arms of a seed share is no part of it.

    Args:
        scores: (arms, seeds), two or more of each.
    """
    by_arm, by_seed = scores.mean(1, keepdims=True), scores.mean(0, keepdims=True)
    residuals = scores - by_arm - by_seed + scores.mean()
    return float(2 * (residuals**2).sum() / ((scores.shape[0] - 1) * (scores.shape[1] - 1)))


def moderate_variance(own: float, df: int, pooled: float) -> float | None:
    """A pair's variance over seeds drawn towards the pooled one (Smyth 2004, with a fixed prior).

    Returns:
        None where the pair scatters more than the arms do together, so that it stands alone.
    """
    if own > MAX_VARIANCE_RATIO * pooled:
        return None
    return (PRIOR_DF * pooled + df * own) / (PRIOR_DF + df)


def estimate_run_noise(
    differences: Sequence[np.ndarray], subjects: np.ndarray | None, name: str = ""
) -> float:
    """Variance of one run's mean over the items that another run would not repeat.

    The mean square of items x runs, by clusters where items share a subject (Searle, Casella and
    McCulloch 1992, two-way layout with one observation a cell).

    Args:
        differences: of each run, an item's difference from the baseline, or its correctness.
        subjects: a code an item, as of `make_stratum`.
        name: of the task.

    Returns:
        0 for a single run: nothing can be told apart.
    """
    if len(differences) < 2:
        return 0.0
    mean = sum(differences) / len(differences)
    residuals = [make_stratum(name, each - mean, subjects) for each in differences]
    return sum(one.variance for one in residuals) / (len(differences) - 1)


def separate_item_variance(strata: Sequence[Stratum], run_noise: Sequence[float]) -> float:
    """Standard error over items alone: what more seeds could not shrink.

    Args:
        strata: of the seed-averaged differences, one a task.
        run_noise: of each task, the variance that run noise gives to that average.

    Returns:
        0 where run noise explains all of it: a variance is not negative.
    """
    shared = [s.variance - noise for s, noise in zip(strata, run_noise, strict=True)]
    return float(np.sqrt(max(0.0, sum(shared)))) / len(strata)


def compute_mean_variance(values: np.ndarray) -> tuple[float, int] | None:
    """(s^2 / n, n - 1) of a mean; None of a single value."""
    n = len(values)
    return (float(values.var(ddof=1)) / n, n - 1) if n > 1 else None
