"""What a handful of seeds can say: mean and spread, paired and unpaired t, never a bootstrap.

A bootstrap over three seeds covers 75 % where it promises 95 %; the t interval keeps its word.
Every case in which the t statistic has no meaning comes back by name and without a p value.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

OK = "ok"
MISSING = "missing"
SINGLE_SEED = "n=1: no seed inference"
FEW_SEEDS = "two seeds say nothing about a third: an interval over new seeds needs three"
IDENTICAL = "identical"
DEGENERATE = "degenerate: zero seed variance"
Values = Sequence[float] | np.ndarray
ZERO = 1e-10
"""Differences of shares below this are rounding."""


@dataclass(frozen=True, kw_only=True)
class TTest:
    """A t test over seeds, or the named reason why there is none."""

    kind: str
    """paired, one-sample or welch."""
    status: str
    n: int
    estimate: float | None = None
    sd: float | None = None
    """Of the differences; of a Welch test, none."""
    se: float | None = None
    t: float | None = None
    df: float | None = None
    p: float | None = None
    low: float | None = None
    high: float | None = None
    note: str = ""


def paired_t_test(differences: Values, confidence: float = 0.95, kind: str = "paired") -> TTest:
    """The t test of per-seed differences against 0.

    Raises ValueError for a NaN: an incomplete pair is named before it comes here.
    """
    values = np.asarray(differences, dtype=float)
    n = len(values)
    if np.isnan(values).any():
        raise ValueError("a difference is NaN: name the incomplete pair instead of testing it.")
    if n == 0:
        return TTest(kind=kind, status=MISSING, n=0)
    estimate = float(values.mean())
    if n == 1:
        return TTest(kind=kind, status=SINGLE_SEED, n=1, estimate=estimate)
    sd = float(values.std(ddof=1))
    # Equal differences differ in their last bits; t would be a huge number made of rounding.
    if sd < ZERO:
        status = IDENTICAL if abs(estimate) < ZERO else DEGENERATE
        return TTest(kind=kind, status=status, n=n, estimate=estimate, sd=0.0)
    se = sd / np.sqrt(n)
    note = "n=2: one degree of freedom, |t| must pass 12.7" if n == 2 else ""
    return make_t_test(kind, n, estimate, sd, float(se), float(n - 1), confidence, note)


def welch_t_test(a: Values, b: Values, confidence: float = 0.95) -> TTest:
    """The unpaired t test of a - b with unequal variances (Welch 1947)."""
    x, y = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    n = min(len(x), len(y))
    if n == 0:
        return TTest(kind="welch", status=MISSING, n=0)
    estimate = float(x.mean() - y.mean())
    if n == 1:
        return TTest(kind="welch", status=SINGLE_SEED, n=1, estimate=estimate)
    parts = np.array([x.var(ddof=1) / len(x), y.var(ddof=1) / len(y)])
    se = float(np.sqrt(parts.sum()))
    if se < ZERO:
        status = IDENTICAL if abs(estimate) < ZERO else DEGENERATE
        return TTest(kind="welch", status=status, n=n, estimate=estimate, se=0.0)
    df = float(parts.sum() ** 2 / (parts**2 / [len(x) - 1, len(y) - 1]).sum())
    return make_t_test("welch", n, estimate, None, se, df, confidence, "")


def make_t_test(
    kind: str,
    n: int,
    estimate: float,
    sd: float | None,
    se: float,
    df: float,
    confidence: float,
    note: str,
) -> TTest:
    t = estimate / se
    half = float(special.stdtrit(df, (1 + confidence) / 2)) * se
    return TTest(
        kind=kind,
        status=OK,
        n=n,
        estimate=estimate,
        sd=sd,
        se=se,
        t=t,
        df=df,
        p=float(2 * special.stdtr(df, -abs(t))),
        low=estimate - half,
        high=estimate + half,
        note=note,
    )


def format_stars(p: float | None) -> str:
    """The study's stars: *** p < .01, ** p < .05, * p < .1; none without a p value."""
    if p is None:
        return ""
    return "***" if p < 0.01 else "**" if p < 0.05 else "*" if p < 0.1 else ""


STARS_LEGEND = (
    "*** p < .01, ** p < .05, * p < .1, of the starred p: over new seeds and items, corrected by "
    "Benjamini-Hochberg over every arm and endpoint of the question. p: two-sided paired t test "
    "over seeds, unadjusted"
)
