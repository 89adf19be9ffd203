"""How much could have been seen: detectable effect, seeds needed, and the size of an effect."""

import numpy as np
from scipy import special, stats

from kvdistill.stats.combined_interval import MIN_SEEDS, approximate_df
from kvdistill.stats.seed_tests import Values

MAX_SEEDS = 1000
MANY_DF = 1e6
"""Degrees of freedom of what is as good as known."""
SECANT_STEP = 1e-4


def compute_power(
    effect: float, se: float, df: float, alpha: float = 0.05, share: float = 1.0
) -> float:
    """Power of a t test at two-sided level alpha, counted on the effect's own side.

    By the noncentral t distribution with noncentrality |effect| / se (Cohen 1988). `share`: of
    `se`, what the test itself takes for the error (1, or that of the seeds alone).
    """
    critical = share * float(stats.t.ppf(1 - alpha / 2, df))
    # Beyond 1e5 degrees of freedom the t is a normal to about five digits.
    if df > 1e5:
        return float(stats.norm.sf(critical - abs(effect) / se))
    return float(stats.nct.sf(critical, df, abs(effect) / se))


def minimum_detectable_effect(
    se: float,
    df: float,
    alpha: float = 0.05,
    target_power: float = 0.8,
    seed_error: tuple[float, float] | None = None,
) -> float | None:
    """The minimum detectable effect at the wanted power; None without variance.

    Args:
        se: standard error over all that varies.
        df: its degrees of freedom.
        alpha: two-sided level.
        target_power: share of repetitions that are to find it.
        seed_error: (standard error, df) over seeds alone, by which it must be found too.
    """
    if se <= 0 or df <= 0:
        return None
    effect = solve_power(df, 1.0, alpha, target_power)
    if seed_error is not None:
        effect = max(effect, solve_power(seed_error[1], seed_error[0] / se, alpha, target_power))
    return effect * se


def solve_power(df: float, share: float, alpha: float, target_power: float) -> float:
    """The effect, in standard errors, at which `compute_power` reaches the wanted power."""
    critical = share * special.stdtrit(df, 1 - alpha / 2)
    if df > 1e5:
        return float(critical + special.ndtri(target_power))
    noncentrality = special.nctdtrinc(df, 1 - target_power, critical)
    # scipy's root is good to eight digits; one secant step makes it ten.
    below, above = (
        special.nctdtr(df, noncentrality + step, critical) for step in (-SECANT_STEP, SECANT_STEP)
    )
    slope = (above - below) / (2 * SECANT_STEP)
    miss = special.nctdtr(df, noncentrality, critical) - (1 - target_power)
    return float(noncentrality - miss / slope)


def count_seeds_needed(
    effect: float, seed_sd: float, item_se: float, alpha: float = 0.05, target_power: float = 0.8
) -> int | None:
    """The fewest seeds that find the effect; None where the items alone are too noisy.

    Args:
        effect: the true difference.
        seed_sd: of one seed's difference, run noise included: it shrinks with seeds.
        item_se: of the items' own part, without run noise: it does not.
        alpha: two-sided level of the recipe interval, whose degrees of freedom are used.
        target_power: share of repetitions that are to find it.
    """
    low, high = MIN_SEEDS, MAX_SEEDS

    def reaches_power(n: int) -> bool:
        seed_part = seed_sd**2 / n
        variance = seed_part + item_se**2
        if variance == 0:
            return effect != 0
        df = approximate_df([(seed_part, n - 1)], item_se**2, MANY_DF) if seed_part else MANY_DF
        tests = [(float(df), 1.0)]
        if seed_part:
            tests.append((n - 1.0, float(np.sqrt(seed_part / variance))))
        se = float(np.sqrt(variance))
        return all(
            compute_power(effect, se, df, alpha, share) >= target_power for df, share in tests
        )

    # Power grows with seeds, so the first number that reaches it can be bisected.
    if not reaches_power(high):
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if reaches_power(middle) else (middle + 1, high)
    return low


def count_items_needed(
    effect: float, item_se: float, alpha: float = 0.05, target_power: float = 0.8
) -> float:
    """How many times as many items let some number of seeds find the effect; 1 where these do.

    A variance over items shrinks with their number; with seeds without end a normal test is left.
    """
    quantiles = special.ndtri(1 - alpha / 2) + special.ndtri(target_power)
    return max(1.0, float((item_se * quantiles / effect) ** 2))


def hedges_correction(n: int) -> float:
    """The exact small-sample factor J for n paired differences (Hedges 1981); .564 at n = 3."""
    df = n - 1
    if df < 1:
        raise ValueError(f"an effect size needs 2 differences or more, got {n}.")
    log_j = special.gammaln(df / 2) - special.gammaln((df - 1) / 2) if df > 1 else -np.inf
    return float(np.exp(log_j) / np.sqrt(df / 2))


def hedges_g(differences: Values) -> float | None:
    """Hedges' g of paired differences: mean / SD, corrected; None without spread or at n < 3."""
    values = np.asarray(differences, dtype=float)
    if len(values) < 3:
        return None
    sd = values.std(ddof=1)
    return float(values.mean() / sd * hedges_correction(len(values))) if sd > 1e-10 else None


def probability_of_improvement(a: Values, b: Values) -> float:
    """Share of all (run of a, run of b) pairs in which a is higher; ties count half.

    The Mann-Whitney statistic, as in Agarwal et al. 2021, "Deep reinforcement learning at the
    edge of the statistical precipice".
    """
    x, y = np.asarray(a)[:, None], np.asarray(b)[None, :]
    return float(((x > y) + 0.5 * (x == y)).mean())
