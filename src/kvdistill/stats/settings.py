"""How records become claims: the stats group of the configuration."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from kvdistill.config import types
from kvdistill.errors import ConfigError
from kvdistill.stats.hypotheses import parse_claim

MAX_DRAWS = 1_000_000
"""Draws that fit a memory and an afternoon."""


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
        if not 999 <= self.resamples <= MAX_DRAWS:
            raise ConfigError(
                f"stats.resamples must be from 999, for a stable interval, to {MAX_DRAWS}, got "
                f"{self.resamples}."
            )
        if self.seed < 0:
            raise ConfigError(f"stats.seed must be 0 or more, got {self.seed}.")
        if not 0 < self.detect <= 100:
            raise ConfigError(
                f"stats.detect must be above 0 and at most 100 points, got {self.detect}."
            )
        if not 100 <= self.selftest_repetitions <= MAX_DRAWS:
            raise ConfigError(
                f"stats.selftest_repetitions must be from 100 to {MAX_DRAWS}, got "
                f"{self.selftest_repetitions}."
            )
        for name in ("hypotheses", "criteria"):
            for node in getattr(self, name):
                parse_claim(node, f"stats.{name}")

    @property
    def alpha(self) -> float:
        """The nominal error rate, two-sided."""
        return 1 - self.confidence


def read_settings(node: Mapping[str, Any] | None) -> Settings:
    """The resolved stats node as Settings; None gives the defaults.

    Raises ConfigError naming what is unknown, of another kind, or out of bounds.
    """
    known = [field.name for field in fields(Settings)]
    for key in node or {}:
        if key not in known:
            raise ConfigError(f"stats.{key} is no setting. Choose one of {', '.join(known)}.")
    types.check_arguments("stats", node or {}, Settings)
    return Settings(**(node or {}))
