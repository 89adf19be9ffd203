"""Compares keys as each model rotated them, as a cache holds them: the naive control.

The teacher's phases are those of its own tokens and frequencies, so averaging tokens and mapping
heads mix phases; unequal tokenizers or rotary bases move the target by more than its content.
"""

from dataclasses import dataclass
from typing import ClassVar

from kvdistill.kv.rotary import Rotary
from kvdistill.position.base import Keys, Position, Positions


@dataclass(frozen=True, kw_only=True)
class PostRope(Position):
    """Turns the teacher's keys before alignment and the student's before comparison."""

    needs_rotary: ClassVar[bool] = True

    def source(self, keys: Keys, rotary: Rotary, positions: Positions) -> Keys:
        """The teacher's own rotation at its own positions."""
        return rotary.rotate(keys, positions)

    def own(self, keys: Keys, rotary: Rotary, positions: Positions) -> Keys:
        """The student's own rotation."""
        return rotary.rotate(keys, positions)
