"""What the recipe can claim: new seeds and new items, from a few seeds and many items.

Variance = seed part (spread of the per-seed differences / S) + item part (of the seed-averaged
item differences), degrees of freedom by Satterthwaite (1946). The noise shared by both parts is
counted twice: where seeds hardly differ the interval is conservative (measured type-I error about
1 to 2 % at nominal 5 %). The crossed estimator that subtracts it was measured at 8 % with three
seeds and is not offered. With two seeds the sum errs up to 12 %, so three are asked for.
"""

from collections.abc import Sequence

import numpy as np
from scipy import special

from kvdistill.stats.bootstrap import ConfidenceInterval

MIN_SEEDS = 3


def combine_variances(
    estimate: float,
    seed_parts: Sequence[tuple[float, int]],
    item_se: float,
    item_df: float,
    confidence: float = 0.95,
) -> ConfidenceInterval | None:
    """The recipe-level interval.

    Args:
        estimate: mean difference, in [-1, 1].
        seed_parts: (variance of the mean over seeds, its degrees of freedom): one part for
            paired seeds, one an arm for unpaired ones.
        item_se: standard error over items of the seed-averaged difference.
        item_df: its degrees of freedom.
        confidence: of the interval.

    Returns:
        None where there is no variance, or fewer than three seeds: no claim over new seeds.
    """
    if any(df < MIN_SEEDS - 1 for _, df in seed_parts):
        return None
    parts = [*seed_parts, (item_se**2, item_df)]
    variance = sum(part for part, _ in parts)
    if variance <= 0 or not any(part > 0 for part, _ in seed_parts):
        return None
    df = variance**2 / sum(part**2 / df for part, df in parts)
    se = float(np.sqrt(variance))
    half = float(special.stdtrit(df, (1 + confidence) / 2)) * se
    return ConfidenceInterval(
        estimate=estimate,
        se=se,
        df=float(df),
        low=estimate - half,
        high=estimate + half,
        p=float(2 * special.stdtr(df, -abs(estimate) / se)),
    )
