"""What a claim's measure comes to: an estimate and its interval in the measure's own unit."""

import math
from dataclasses import dataclass

from kvdistill.stats.bootstrap import ConfidenceInterval
from kvdistill.stats.seed_tests import TTest


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """An estimate and its interval in the measure's own unit; None where it is not known."""

    unit: str
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    se: float | None = None
    """Its standard error; that of the log ratio where the unit is percent."""
    df: float | None = None
    """The error's degrees of freedom."""
    seed_error: tuple[float, float] | None = None
    """(standard error, df) over seeds alone, in the scale of `se`, where it is about new ones."""
    p: float | None = None
    """Two-sided, of the truth being the claim's bound, where `se` and `df` do not give it."""
    why: str = ""
    negligible: bool = False
    """Whether it is too small to count, however surely it is not nothing."""


def list_errors(measured: Measurement) -> list[tuple[float, float]]:
    """Every (standard error, df) that a claim on it must pass; empty where none is known."""
    if not measured.se or measured.df is None:
        return []
    return [(measured.se, measured.df), *([measured.seed_error] if measured.seed_error else [])]


def scale_error(interval: ConfidenceInterval, factor: float) -> tuple[float, float] | None:
    """The interval's error over seeds alone in another unit."""
    if interval.seed_error is None:
        return None
    se, df = interval.seed_error
    return factor * se, df


def measure_log_ratio(
    estimate: float, interval: ConfidenceInterval | TTest, why: str
) -> Measurement:
    """A log ratio and its interval in percent; the standard error stays that of the log ratio."""
    assert interval.low is not None
    assert interval.high is not None
    return Measurement(
        unit="%",
        estimate=convert_log_ratio(estimate),
        low=convert_log_ratio(interval.low),
        high=convert_log_ratio(interval.high),
        se=interval.se,
        df=interval.df,
        seed_error=interval.seed_error if isinstance(interval, ConfidenceInterval) else None,
        why=why,
    )


def convert_ratio_to_percent(share: float) -> float:
    """Percent by which a ratio lies above 1."""
    return 100 * (share - 1)


def convert_log_ratio(log_ratio: float) -> float:
    """Percent by which the numerator of a log ratio is larger."""
    return convert_ratio_to_percent(math.exp(log_ratio))
