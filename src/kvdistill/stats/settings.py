"""How records become claims: the stats group of the configuration."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from kvdistill.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The keys of conf/stats/*.yaml."""

    confidence: float = 0.95
    resamples: int = 4999
    """Bootstrap draws of items."""
    seed: int = 0
    """Of the bootstrap."""
    detect: float | int = 1.0
    """Points of difference for which the seeds needed are told."""
    selftest: bool = False
    selftest_repetitions: int = 2000
    hypotheses: Sequence[Mapping[str, Any]] = ()
    criteria: Sequence[Mapping[str, Any]] = ()

    def __post_init__(self) -> None:
        if not 0.5 <= self.confidence < 1:
            raise ConfigError(
                f"stats.confidence must be in [0.5, 1), got {self.confidence}. Use 0.95."
            )
        if self.resamples < 999:
            raise ConfigError(
                f"stats.resamples must be at least 999 for a stable interval, got {self.resamples}."
            )
        if self.detect <= 0:
            raise ConfigError(f"stats.detect must be above 0 points, got {self.detect}.")
        if self.selftest_repetitions < 100:
            raise ConfigError(
                f"stats.selftest_repetitions must be at least 100, got {self.selftest_repetitions}."
            )

    @property
    def alpha(self) -> float:
        """The nominal error rate, two-sided."""
        return 1 - self.confidence


def settings(node: Mapping[str, Any] | None) -> Settings:
    """The resolved stats node as Settings; None gives the defaults.

    Raises ConfigError naming an unknown key.
    """
    known = [field.name for field in fields(Settings)]
    for key in node or {}:
        if key not in known:
            raise ConfigError(f"stats.{key} is no setting. Choose one of {', '.join(known)}.")
    return Settings(**(node or {}))
