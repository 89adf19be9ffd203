"""No schedule: the weights are what the loss group says, from the first step to the last."""

from dataclasses import dataclass

from kvdistill.loss.schedule.base import Schedule, TermFactors


@dataclass(frozen=True, kw_only=True)
class Steady(Schedule):
    """Factors of 1."""

    def compute_factors(self, progress: float) -> TermFactors:
        return TermFactors(ce=1.0, kv=1.0)
