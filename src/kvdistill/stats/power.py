"""How much could have been seen: detectable effect, seeds needed, and the size of an effect."""

import numpy as np
from scipy import special, stats

from kvdistill.stats.seed_tests import Values

MOST_SEEDS = 1000
SECANT = 1e-4


def power(effect: float, se: float, df: float, alpha: float = 0.05) -> float:
    """Chance that a two-sided t test finds an effect with this standard error."""
    critical = float(stats.t.ppf(1 - alpha / 2, df))
    if df > 1e5:
        return float(stats.norm.sf(critical - abs(effect) / se))
    return float(stats.nct.sf(critical, df, abs(effect) / se))


def detectable(se: float, df: float, alpha: float = 0.05, wanted: float = 0.8) -> float | None:
    """The minimum detectable effect at the wanted power; None without variance."""
    if se <= 0 or df <= 0:
        return None
    critical = special.stdtrit(df, 1 - alpha / 2)
    if df > 1e5:
        return float(critical + special.ndtri(wanted)) * se
    found = special.nctdtrinc(df, 1 - wanted, critical)
    # scipy's root is good to eight digits; one secant step makes it ten.
    below, above = (special.nctdtr(df, found + step, critical) for step in (-SECANT, SECANT))
    slope = (above - below) / (2 * SECANT)
    return float(found - (special.nctdtr(df, found, critical) - (1 - wanted)) / slope) * se


def seeds_needed(
    effect: float, seed_sd: float, item_se: float, alpha: float = 0.05, wanted: float = 0.8
) -> int | None:
    """The fewest seeds that find the effect; None where the items alone are too noisy.

    The item part does not shrink with seeds, so some effects need more items, not more seeds.
    """
    low, high = 2, MOST_SEEDS

    def enough(n: int) -> bool:
        seed_part = seed_sd**2 / n
        variance = seed_part + item_se**2
        if variance == 0:
            return effect != 0
        df = variance**2 / (seed_part**2 / (n - 1)) if seed_part else 1e6
        return power(effect, float(np.sqrt(variance)), float(min(df, 1e6)), alpha) >= wanted

    if not enough(high):
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return low


def hedges(n: int) -> float:
    """The exact small-sample factor J for n paired differences; .564 at n = 3."""
    df = n - 1
    if df < 1:
        raise ValueError(f"an effect size needs 2 differences or more, got {n}.")
    log_j = special.gammaln(df / 2) - special.gammaln((df - 1) / 2) if df > 1 else -np.inf
    return float(np.exp(log_j) / np.sqrt(df / 2))


def effect_size(differences: Values) -> float | None:
    """Hedges' g of paired differences: mean / SD, corrected; None without spread or at n < 3."""
    values = np.asarray(differences, dtype=float)
    if len(values) < 3:
        return None
    sd = values.std(ddof=1)
    return float(values.mean() / sd * hedges(len(values))) if sd > 1e-10 else None


def probability_of_improvement(a: Values, b: Values) -> float:
    """Share of all (run of a, run of b) pairs in which a is higher; ties count half."""
    x, y = np.asarray(a)[:, None], np.asarray(b)[None, :]
    return float(((x > y) + 0.5 * (x == y)).mean())
