"""One term fades into the other: both factors go in straight lines from first step to last."""

from collections.abc import Sequence
from dataclasses import dataclass

from kvdistill.errors import ConfigError
from kvdistill.loss.schedule.base import Schedule, TermFactors, check_factors


@dataclass(frozen=True, kw_only=True)
class LinearRamp(Schedule):
    """Each pair is the factor before the first step and the one after the last."""

    ce: Sequence[float]
    kv: Sequence[float]

    def __post_init__(self) -> None:
        for name in ("ce", "kv"):
            ends = getattr(self, name)
            if len(ends) != 2:
                raise ConfigError(
                    f"loss.schedule.{name}={list(ends)} must be two factors, of the first step and "
                    f"of the last. Write for example [1.0, 0.0]."
                )
            check_factors(name, ends)

    def compute_factors(self, progress: float) -> TermFactors:
        ce, kv = (
            begin + (end - begin) * progress for begin, end in (tuple(self.ce), tuple(self.kv))
        )
        return TermFactors(ce=ce, kv=kv)
