"""Compares keys at the phases of the student's positions, with the target's stretched or not.

At a factor of 1 both sides are rotated equally, so mse equals that of unrotated keys, which a test
proves. Only the phase is applied; a model's attention scaling would scale both sides equally.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

from kvdistill.errors import ConfigError
from kvdistill.models.attention.rotary import Rotary
from kvdistill.position.base import Keys, Position, Positions


@dataclass(frozen=True, kw_only=True)
class Rephase(Position):
    """Rotates the target at `rope_scaling_factor` x the student's positions, the student at 1 x."""

    needs_rotary: ClassVar[bool] = True

    rope_scaling_factor: float = 1.0

    def __post_init__(self) -> None:
        if not self.rope_scaling_factor > 0:
            raise ConfigError(
                f"position.rope_scaling_factor is {self.rope_scaling_factor} but must be positive. "
                f"Use 1.0 for the student's own positions or position=none."
            )

    def rotate_target_keys(self, keys: Keys, rotary: Rotary, positions: Positions) -> Keys:
        """The student's frequencies at stretched positions."""
        # Fractional positions are angles like any other.
        return _without_scaling(rotary).rotate(keys, positions * self.rope_scaling_factor)

    def rotate_student_keys(self, keys: Keys, rotary: Rotary, positions: Positions) -> Keys:
        """The student's frequencies at its own positions."""
        return _without_scaling(rotary).rotate(keys, positions)


def _without_scaling(rotary: Rotary) -> Rotary:
    return replace(rotary, attention_scaling=1.0)
