"""Whether and where keys are rotated before they are compared."""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float, Int
from torch import Tensor

from kvdistill.models.attention.rotary import Rotary

Keys = Float[Tensor, "batch heads seq dim"]
Positions = Int[Tensor, "batch seq"]


@dataclass(frozen=True, kw_only=True)
class Position:
    """Three places where keys may be rotated; each leaves them as they are unless overridden."""

    needs_rotary: ClassVar[bool] = False
    """Whether keys are rotated, so that both models need a rotary embedding that a run can
    reproduce (models/attention/rotary.py)."""

    def rotate_captured_keys(self, keys: Keys, rotary: Rotary, positions: Positions) -> Keys:
        """Either model's keys at its own tokens, before anything else; `rotary` is that model's."""
        return keys

    def rotate_target_keys(self, keys: Keys, rotary: Rotary, positions: Positions) -> Keys:
        """The aligned and projected target at the student's tokens; `rotary` is the student's."""
        return keys

    def rotate_student_keys(self, keys: Keys, rotary: Rotary, positions: Positions) -> Keys:
        """The student's centred and projected keys, as compared; `rotary` is the student's."""
        return keys
