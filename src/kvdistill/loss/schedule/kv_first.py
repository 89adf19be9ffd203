"""The teachers' K and V first, then cross-entropy: representations before outputs.

The order of FitNets (arXiv 1412.6550), whose hints are matched before the task is trained.
"""

from dataclasses import dataclass

from kvdistill.errors import ConfigError
from kvdistill.loss.schedule.base import Schedule, TermFactors, check_factors


@dataclass(frozen=True, kw_only=True)
class KVFirst(Schedule):
    """For `share` of the steps KV counts whole and CE `ce_before`; then CE whole, KV `kv_after`."""

    share: float
    """Of the steps, in (0, 1)."""
    ce_before: float
    kv_after: float

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise ConfigError(
                f"loss.schedule.share={self.share} must be above 0 and below 1, so that either "
                f"part has steps. Use loss/schedule=constant for no schedule."
            )
        check_factors("ce_before", [self.ce_before])
        check_factors("kv_after", [self.kv_after])

    def compute_factors(self, progress: float) -> TermFactors:
        if progress < self.share:
            return TermFactors(ce=self.ce_before, kv=1.0)
        return TermFactors(ce=1.0, kv=self.kv_after)
