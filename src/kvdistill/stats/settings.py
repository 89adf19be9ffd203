"""How records become claims: the stats group of the configuration."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from kvdistill.config import types
from kvdistill.errors import ConfigError
from kvdistill.stats.hypotheses import parse_claim

OBRIEN_FLEMING = "obrien_fleming"
POCOCK = "pocock"
SPENDING = (OBRIEN_FLEMING, POCOCK)
"""Nearly nothing at the first looks and nearly alpha at the last; or about the same at each."""
MAX_LOOKS = 20
"""Looks beyond which each would hardly allow a claim."""
OWN, MODERATED = "own", "moderated"
VARIANCES = (OWN, MODERATED)
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
    routing_min_nats: float | int = 0.01
    """Mutual information of task and teacher weight below which weights do not depend on the task.
    """
    selftest: bool = False
    selftest_repetitions: int = 2000
    looks: int = 1
    """How often the study plans to look at a question, each time with more seeds."""
    spending: str = OBRIEN_FLEMING
    """How the error rate is divided over them: obrien_fleming or pocock."""
    variance: str = OWN
    """Whose spread over seeds a difference is held against: the pair's own, or moderated by that
    of the question's arms."""
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
        if not 0 < self.routing_min_nats < float("inf"):
            raise ConfigError(
                f"stats.routing_min_nats must be above 0, got {self.routing_min_nats}. Use 0.01."
            )
        if not 100 <= self.selftest_repetitions <= MAX_DRAWS:
            raise ConfigError(
                f"stats.selftest_repetitions must be from 100 to {MAX_DRAWS}, got "
                f"{self.selftest_repetitions}."
            )
        if not 1 <= self.looks <= MAX_LOOKS:
            raise ConfigError(
                f"stats.looks must be from 1 to {MAX_LOOKS}, got {self.looks}. Use 1 for a study "
                "that is judged once."
            )
        if self.spending not in SPENDING:
            raise ConfigError(
                f"stats.spending={self.spending} divides nothing. Choose one of "
                f"{', '.join(SPENDING)}."
            )
        if self.variance not in VARIANCES:
            raise ConfigError(
                f"stats.variance={self.variance} is no choice. Choose one of "
                f"{', '.join(VARIANCES)}."
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
