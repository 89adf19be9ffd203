"""Factors on the weights of the loss's terms while training runs, stated beforehand.

What is measured in training instead, and acts on the KV term alone, is a balance (loss/balance.py).
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from kvdistill.errors import ConfigError


@dataclass(frozen=True)
class TermFactors:
    """What the stated weights are multiplied by at one point of training; 0 or more."""

    ce: float
    """Of cross-entropy, and of what else is asked of the student's next-token distributions."""
    kv: float


@dataclass(frozen=True, kw_only=True)
class Schedule(ABC):
    """A function of the share of steps that is done, and of nothing else: a resumed run goes on."""

    @abstractmethod
    def compute_factors(self, progress: float) -> TermFactors:
        """The factors after this share of the steps, in [0, 1]; 0 before the first one."""


def check_factors(name: str, factors: Sequence[float]) -> None:
    """Raises ConfigError naming the setting unless each factor is 0 or more."""
    for factor in factors:
        # Not `< 0`: NaN is refused too.
        if not factor >= 0:
            raise ConfigError(f"loss.schedule.{name}={factor} must be 0 or more.")
