"""What the items can say: an interval for these very checkpoints on new items of the same kind.

Items are resampled, stratified by task and clustered by subject, never the seeds. Differences
of right and wrong averaged over S seeds take at most 2S+1 evenly spaced values, so the
distribution of a bootstrap sum is known exactly and one draw resamples thousands of items. The
percentiles are widened to the t quantile of the number of units (Hesterberg 2014, "expanded
percentile"), which matters below 50 subjects.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import fft, special, stats

MAX_LATTICE_STEPS = 64
"""Steps between the lowest and the highest difference for which sums are drawn exactly."""
DRAW_BLOCK = 200
"""Replicates drawn at once where items must be drawn one by one."""


@dataclass(frozen=True, kw_only=True)
class ConfidenceInterval:
    """An estimate with its interval, in [-1, 1]."""

    estimate: float
    se: float
    df: float
    low: float
    high: float
    p: float | None
    """Two-sided, of no difference; None where there is no variance at all."""
    seed_error: tuple[float, float] | None = None
    """(standard error, degrees of freedom) over seeds alone, where the claim is about new ones."""


@dataclass(frozen=True, kw_only=True)
class Stratum:
    """One task's item differences: what is drawn, and what one draw weighs."""

    name: str
    totals: np.ndarray
    """Sum of the differences in each unit (an item, or a subject's items)."""
    sizes: np.ndarray
    """Items in each unit."""

    @property
    def estimate(self) -> float:
        """The mean difference over items."""
        return float(self.totals.sum() / self.sizes.sum())

    @property
    def variance(self) -> float:
        """Of the mean, by linearisation of the ratio; clusters as one unit each."""
        n = len(self.totals)
        if n < 2:
            return 0.0
        residuals = (self.totals - self.estimate * self.sizes) / self.sizes.sum()
        return float(n / (n - 1) * (residuals**2).sum())

    def draw_means(self, draws: int, seed: int) -> np.ndarray:
        """Bootstrap means. Units are counted by value, so that their order cannot matter.

        Of the values and their mirror image one is always drawn, so swapped arms mirror exactly,
        but for values that are their own mirror image: those draw the same for both.
        """
        units, counts, sign = self.count_canonical_units
        rng = np.random.default_rng([seed, zlib.crc32(self.name.encode())])
        grid = find_lattice(units)
        if grid is not None:
            return sign * draw_sums(grid, counts, draws, rng) / counts.sum()
        share = counts / counts.sum()
        means = np.empty(draws)
        step = draws if len(units) <= 1000 else DRAW_BLOCK
        for start in range(0, draws, step):
            weights = rng.multinomial(counts.sum(), share, size=min(step, draws - start))
            means[start : start + step] = (weights @ units[:, 0]) / (weights @ units[:, 1])
        return sign * means

    @property
    def count_canonical_units(self) -> tuple[np.ndarray, np.ndarray, float]:
        """(distinct units, how often each occurs, the sign by which they were mirrored)."""
        forward, mirrored = (
            count_units(self.totals, self.sizes),
            count_units(-self.totals, self.sizes),
        )
        key = [np.column_stack(side).ravel().tolist() for side in (forward, mirrored)]
        return (*forward, 1.0) if key[0] >= key[1] else (*mirrored, -1.0)


def count_units(totals: np.ndarray, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct (total, size) pairs in order, and how often each occurs."""
    rounded = np.round(totals, 9) + 0.0  # one zero, not two
    if (sizes == 1).all():
        values, counts = np.unique(rounded, return_counts=True)
        return np.stack([values, np.ones(len(values))], axis=1), counts
    return np.unique(np.stack([rounded, sizes], axis=1), axis=0, return_counts=True)


def find_lattice(units: np.ndarray) -> tuple[float, float, np.ndarray] | None:
    """(lowest value, step, each value's place) where single items differ by whole steps."""
    values = units[:, 0]
    if len(values) < 2 or not (units[:, 1] == 1).all():
        return None
    step = float(np.diff(values).min())
    places = (values - values[0]) / step
    if places[-1] > MAX_LATTICE_STEPS or np.abs(places - places.round()).max() > 1e-6:
        return None
    return float(values[0]), step, places.round().astype(int)


def draw_sums(
    grid: tuple[float, float, np.ndarray], counts: np.ndarray, draws: int, rng: np.random.Generator
) -> np.ndarray:
    """Sums of as many items drawn with replacement, from their exact distribution.

    The distribution of a sum of n independent draws is the n-th power of one draw's transform.
    """
    low, step, places = grid
    n = int(counts.sum())
    single_draw = np.zeros(int(places[-1]) + 1)
    single_draw[places] = counts / n
    size = n * (len(single_draw) - 1) + 1
    length = fft.next_fast_len(size, real=True)
    # Rounding leaves shares below zero, and searchsorted needs sums that never fall.
    chances = np.clip(fft.irfft(fft.rfft(single_draw, length) ** n, length)[:size], 0, None)
    below = np.cumsum(chances)
    positions = np.searchsorted(below, rng.random(draws) * below[-1], side="right")
    return n * low + step * np.minimum(positions, size - 1)


def make_stratum(name: str, differences: np.ndarray, subjects: np.ndarray | None = None) -> Stratum:
    """One difference an item, grouped by subject where items share context."""
    values = np.asarray(differences, dtype=float)
    if subjects is None:
        return Stratum(name=name, totals=values, sizes=np.ones(len(values)))
    return Stratum(
        name=name,
        totals=np.bincount(subjects, weights=values),
        sizes=np.bincount(subjects).astype(float),
    )


def standard_error(strata: Sequence[Stratum]) -> tuple[float, float]:
    """(standard error, df) of the unweighted mean over the strata (Satterthwaite 1946)."""
    parts = np.array([s.variance for s in strata]) / len(strata) ** 2
    total = parts.sum()
    if total == 0:
        return 0.0, float("inf")
    df = total**2 / sum(
        p**2 / max(len(s.totals) - 1, 1) for p, s in zip(parts, strata, strict=True)
    )
    return float(np.sqrt(total)), float(df)


def bootstrap_interval(
    strata: Sequence[Stratum],
    *,
    confidence: float = 0.95,
    draws: int = 4999,
    seed: int = 0,
    replicates: Mapping[str, np.ndarray] | None = None,
) -> ConfidenceInterval:
    """The bootstrap interval of the unweighted mean over tasks of the mean difference.

    `replicates` are those of strata that were drawn already, by name. Swapping the arms mirrors
    the interval.
    """
    estimate = float(np.mean([s.estimate for s in strata]))
    se, df = standard_error(strata)
    if se == 0:
        return ConfidenceInterval(
            estimate=estimate, se=0.0, df=df, low=estimate, high=estimate, p=None
        )
    drawn_means = replicates or {}
    total = np.zeros(draws)
    for s in strata:
        total += drawn_means[s.name] if s.name in drawn_means else s.draw_means(draws, seed)
    total /= len(strata)
    # Hesterberg's expanded percentile: Phi(-sqrt(n / (n - 1)) t), with n - 1 = df.
    tail = special.ndtr(-special.stdtrit(df, (1 + confidence) / 2) * np.sqrt((df + 1) / df))
    low, high = np.quantile(total, [tail, 1 - tail])
    p = float(2 * special.stdtr(df, -abs(estimate) / se))
    return ConfidenceInterval(
        estimate=estimate, se=se, df=df, low=float(low), high=float(high), p=p
    )


def wilson_interval(correct: float | int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a proportion (Wilson 1927); keeps width at 0 and at n of n."""
    if n < 1 or not 0 <= correct <= n:
        raise ValueError(f"correct must be in [0, n] with n >= 1, got {correct} of {n}.")
    bounds = stats.binomtest(round(correct), n).proportion_ci(confidence, method="wilson")
    return float(bounds.low), float(bounds.high)


def mcnemar_mid_p(a: np.ndarray, b: np.ndarray) -> float:
    """Mid-p McNemar test (Fagerland 2013) of two single runs on the same items.

    1.0 without discordant items.

    Raises ValueError where scores are not 0 or 1: a probability mass has no discordant pairs.
    """
    for values in (a, b):
        if not np.isin(values, (0, 1)).all():
            raise ValueError("McNemar needs answers that are right (1) or wrong (0).")
    wins, losses = int((a > b).sum()), int((a < b).sum())
    n = wins + losses
    if n == 0:
        return 1.0
    fewer = min(wins, losses)
    probability = stats.binom.pmf(fewer, n, 0.5)
    if wins == losses:  # both tails meet in what was seen, which counts half (Fagerland 2013)
        return float(1 - probability / 2)
    return float(2 * stats.binom.cdf(fewer, n, 0.5) - probability)
