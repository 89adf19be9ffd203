"""What the items can say: an interval for these very checkpoints on new items of the same kind.

Items are resampled, stratified by task and clustered by subject, never the seeds. Differences
of right and wrong averaged over S seeds take at most 2S+1 values, so one multinomial draw a
replicate resamples thousands of items at once. The percentiles are widened to the t quantile of
the number of units (Hesterberg 2014, "expanded percentile"), which matters below 50 subjects.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

BLOCK = 200
"""Replicates drawn at once where items must be drawn one by one."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """An estimate with its interval, in [-1, 1]."""

    estimate: float
    se: float
    df: float
    low: float
    high: float
    p: float | None
    """Two-sided, of no difference; None where there is no variance at all."""


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

    def replicates(self, draws: int, rng: np.random.Generator) -> np.ndarray:
        """Bootstrap means. The order of the items cannot matter: units are counted by value."""
        if (self.sizes == 1).all():
            values, counts = np.unique(np.round(self.totals, 9), return_counts=True)
            kinds = np.stack([values, np.ones(len(values))], axis=1)
        else:
            pairs = np.stack([np.round(self.totals, 9), self.sizes], axis=1)
            kinds, counts = np.unique(pairs, axis=0, return_counts=True)
        share = counts / counts.sum()
        found = np.empty(draws)
        step = draws if len(kinds) <= 1000 else BLOCK
        for start in range(0, draws, step):
            weights = rng.multinomial(counts.sum(), share, size=min(step, draws - start))
            found[start : start + step] = (weights @ kinds[:, 0]) / (weights @ kinds[:, 1])
        return found


def stratum(name: str, differences: np.ndarray, subjects: np.ndarray | None = None) -> Stratum:
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
    """(standard error, Satterthwaite df) of the unweighted mean over the strata."""
    parts = np.array([s.variance for s in strata]) / len(strata) ** 2
    total = parts.sum()
    if total == 0:
        return 0.0, float("inf")
    df = total**2 / sum(
        p**2 / max(len(s.totals) - 1, 1) for p, s in zip(parts, strata, strict=True)
    )
    return float(np.sqrt(total)), float(df)


def interval(
    strata: Sequence[Stratum], *, confidence: float = 0.95, draws: int = 9999, seed: int = 0
) -> Interval:
    """The bootstrap interval of the unweighted mean over tasks of the mean difference.

    Swapping the arms gives exactly the mirrored interval.
    """
    estimate = float(np.mean([s.estimate for s in strata]))
    se, df = standard_error(strata)
    if se == 0:
        return Interval(estimate=estimate, se=0.0, df=df, low=estimate, high=estimate, p=None)
    flip = -1.0 if estimate < 0 else 1.0
    total = np.zeros(draws)
    for s in strata:
        rng = np.random.default_rng([seed, zlib.crc32(s.name.encode())])
        mirrored = Stratum(name=s.name, totals=flip * s.totals, sizes=s.sizes)
        total += mirrored.replicates(draws, rng)
    total /= len(strata)
    tail = stats.norm.sf(stats.t.ppf((1 + confidence) / 2, df) * np.sqrt((df + 1) / df))
    low, high = np.quantile(total, [tail, 1 - tail])
    low, high = (low, high) if flip > 0 else (-high, -low)
    p = float(2 * stats.t.sf(abs(estimate) / se, df))
    return Interval(estimate=estimate, se=se, df=df, low=float(low), high=float(high), p=p)


def wilson(correct: float | int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a proportion; keeps width at 0 of n and n of n."""
    if n < 1 or not 0 <= correct <= n:
        raise ValueError(f"correct must be in [0, n] with n >= 1, got {correct} of {n}.")
    found = stats.binomtest(round(correct), n).proportion_ci(confidence, method="wilson")
    return float(found.low), float(found.high)


def mcnemar(a: np.ndarray, b: np.ndarray) -> float:
    """Mid-p McNemar test of two single runs on the same items; 1.0 without discordant items.

    Raises ValueError where scores are not 0 or 1: a probability mass has no discordant pairs.
    """
    for values in (a, b):
        if not np.isin(values, (0, 1)).all():
            raise ValueError("McNemar needs answers that are right (1) or wrong (0).")
    wins, losses = int((a > b).sum()), int((a < b).sum())
    n = wins + losses
    if n == 0:
        return 1.0
    few = min(wins, losses)
    exact = 2 * stats.binom.cdf(few, n, 0.5)
    return float(min(1.0, exact - stats.binom.pmf(few, n, 0.5)))
