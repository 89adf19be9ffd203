"""How often a claim would be found supported, before anything is run: its power.

A claim is supported where the whole interval is on the good side of its bound. So with a true
difference equal to the bound it is met in alpha / 2 of all repetitions, whatever the seeds: who
expects +3 and wants it shown must not claim "at least 3", or must expect more. The interval is the
report's: variance over seeds plus variance over items (texts), the degrees of freedom
of stats/combined_interval.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, special, stats

from kvdistill.stats.combined_interval import MIN_SEEDS, approximate_df
from kvdistill.stats.power import MANY_DF, MAX_SEEDS

TARGET = 0.8
"""Power that a study is planned for (Cohen 1988)."""
QUANTILES = 64
"""Of a sample variance's distribution: power is known to about half a point."""
KNOWN_DF = 1000
REPETITIONS = 2000
"""Simulated studies where there is no formula: a power of 50 % is known to 1.1 points."""


@dataclass(frozen=True, kw_only=True)
class Noise:
    """What moves an estimate, on the scale on which it is tested (points, or a log ratio)."""

    seed_sd: float
    """SD over seeds of the per-seed quantity: of a difference, where two trained arms share seeds.
    0 where nothing is trained."""
    fixed_variance: float = 0.0
    """Of items or texts, which seeds do not shrink."""
    fixed_df: float | int = 1e6
    """Its degrees of freedom."""

    def draw_half_widths(self, seeds: int, alpha: float) -> np.ndarray:
        """Half the interval that studies of so many seeds would compute at a two-sided level.

        The interval uses the spread that its few seeds happen to show: each possible one, at
        evenly spaced quantiles of its distribution. Raises ValueError below MIN_SEEDS.
        """
        if self.seed_sd == 0:
            quantile = special.stdtrit(self.fixed_df, 1 - alpha / 2)
            return np.array([quantile * self.fixed_variance**0.5])
        if seeds < MIN_SEEDS:
            raise ValueError(f"an interval over new seeds needs {MIN_SEEDS}, got {seeds}.")
        parts = self.seed_sd**2 / seeds * draw_variance_ratios(seeds - 1)[:, None]
        # Items by the thousand have the variance they have; that of a few texts is guessed too.
        is_known = self.fixed_df > KNOWN_DF
        ratios = np.ones(1) if is_known else draw_variance_ratios(self.fixed_df)
        fixed = self.fixed_variance * ratios[None, :]
        variance = parts + fixed
        df = approximate_df([(parts, seeds - 1)], fixed, self.fixed_df)
        over_seeds = special.stdtrit(seeds - 1, 1 - alpha / 2) * np.sqrt(parts)
        return np.maximum(
            special.stdtrit(df, 1 - alpha / 2) * np.sqrt(variance), over_seeds
        ).ravel()

    def compute_se(self, seeds: int) -> float:
        """The true standard error of the estimate."""
        return float((self.seed_sd**2 / seeds + self.fixed_variance) ** 0.5)


def draw_variance_ratios(df: float | int) -> np.ndarray:
    """A sample variance over the true one, at the middles of QUANTILES equally likely parts."""
    middles = (np.arange(QUANTILES) + 0.5) / QUANTILES
    return np.asarray(stats.chi2.ppf(middles, df) / df)


def compute_claim_power(
    distance: float | int, noise: Noise, seeds: int, alpha: float = 0.05
) -> float:
    """Share of repetitions in which the claim is supported; 0 with too few seeds for an interval.

    The estimate is normal and independent of its standard error, so this is the mean, over the
    errors that could be computed, of the normal probability that the interval ends beyond the
    bound.

    Args:
        distance: from the bound to the truth, positive on the good side, in the noise's scale.
        noise: of the estimate.
        seeds: of each arm.
        alpha: two-sided level of the interval.
    """
    if noise.seed_sd > 0 and seeds < MIN_SEEDS:
        return 0.0
    se = noise.compute_se(seeds)
    if se == 0:
        return float(distance > 0)
    half_widths = noise.draw_half_widths(seeds, alpha)
    return float(special.ndtr((distance - half_widths) / se).mean())


def compute_distance_needed(noise: Noise, seeds: int, alpha: float = 0.05) -> float | None:
    """How far beyond the bound the truth must lie to be shown in TARGET of all repetitions."""
    se = noise.compute_se(seeds)
    if se == 0 or (noise.seed_sd > 0 and seeds < MIN_SEEDS):
        return None
    highest = se
    while compute_claim_power(highest, noise, seeds, alpha) < TARGET:
        highest *= 2
    return float(
        optimize.brentq(
            lambda distance: compute_claim_power(distance, noise, seeds, alpha) - TARGET,
            0, highest, xtol=1e-3 * se,
        )
    )  # fmt: skip


def minimum_detectable_effect_of_seeds(
    seeds: int, seed_sd: float, disagreement: float, item_counts: Sequence[int]
) -> float | None:
    """The least true difference of macro averages, in points, that TARGET of studies would show.

    Args:
        seeds: of each arm.
        seed_sd: one arm's standard deviation over seeds, in points.
        disagreement: share of the items that one arm gets right and the other wrong.
        item_counts: items of each task.

    Returns:
        None where so few seeds leave the spread unknown.
    """
    # 1e4: an item's variance is a share squared, and points are hundredths.
    items = 1e4 * sum(disagreement / n for n in item_counts) / len(item_counts) ** 2
    return compute_distance_needed(Noise(seed_sd=2**0.5 * seed_sd, fixed_variance=items), seeds)


def count_seeds_for_power(reach: Callable[[int], float], highest: int = MAX_SEEDS) -> int | None:
    """The fewest seeds an arm at which `reach` gives TARGET; None where so many do not.

    `reach` is power by seeds, and grows with them.
    """
    if reach(highest) < TARGET:
        return None
    low, high = MIN_SEEDS, highest
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if reach(middle) >= TARGET else (middle + 1, high)
    return low


def simulate_count_power(
    gains: np.ndarray,
    noises: Noise,
    item_variances: np.ndarray,
    seeds: int,
    at_least: int,
    alpha: float = 0.05,
) -> float:
    """Power of "at least so many tasks gain", where a seed moves all tasks of its run alike.

    Each task is tested by its own interval, and the tasks together by the partial conjunction of
    their p values (Benjamini and Heller 2008), as the report does.

    Args:
        gains: true difference of each task, in points.
        noises: its `seed_sd` is the per-seed difference's.
        item_variances: of each task's difference, in squared points.
        seeds: of each arm.
        at_least: tasks that the claim asks for.
        alpha: two-sided level.
    """
    if seeds < MIN_SEEDS:
        return 0.0
    rng = np.random.default_rng(0)
    shifts = rng.normal(0, noises.seed_sd, size=(REPETITIONS, seeds))
    items = rng.normal(0, np.sqrt(item_variances), size=(REPETITIONS, len(gains)))
    means = gains + shifts.mean(axis=1, keepdims=True) + items
    parts = shifts.var(axis=1, ddof=1, keepdims=True) / seeds
    variances = parts + item_variances
    df = approximate_df([(parts, seeds - 1)], item_variances, MANY_DF)
    # As in an interval: no surer than over these seeds alone, on either side of no gain.
    distances = np.abs(means)
    tails = np.maximum(
        stats.t.sf(distances / np.sqrt(variances), df),
        stats.t.sf(distances / np.sqrt(parts), seeds - 1),
    )
    p = np.sort(np.where(means > 0, tails, 1 - tails), axis=1)[:, at_least - 1 :]
    # Simes over the largest p values: at least `at_least` tasks gain.
    steps = (len(gains) - at_least + 1) / np.arange(1, p.shape[1] + 1)
    combined = (steps * p).min(axis=1)
    enough = (means > 0).sum(axis=1) >= at_least
    return float(((2 * combined <= alpha) & enough).mean())
