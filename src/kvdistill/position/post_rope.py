"""Compares keys as each model rotated them, as a cache holds them: the naive control.

The teacher's phases are those of its own tokens and frequencies, so averaging tokens and mapping
heads mix phases; unequal tokenizers or rotary bases move the target by more than its content.
"""

from dataclasses import dataclass
from typing import ClassVar

from kvdistill.models.attention.rotary import Rotary
from kvdistill.position.base import Keys, Position, Positions


@dataclass(frozen=True, kw_only=True)
class PostRope(Position):
    """Rotates both models' keys first: before means are taken and projections fitted."""

    needs_rotary: ClassVar[bool] = True

    def rotate_captured_keys(self, keys: Keys, rotary: Rotary, positions: Positions) -> Keys:
        """Each model's own rotation at its own positions."""
        return rotary.rotate(keys, positions)
