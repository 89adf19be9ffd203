"""Which student layers are distilled: all, a half-open range, or a range of relative depth."""

import math
import re
from fractions import Fraction

from kvdistill.errors import ConfigError

_FORMS = (
    'Write "all", a half-open range such as "0-12", or fractions of the depth such as "0/28-12/28".'
)


def select_layers(layer_range: str | int, layers: int) -> tuple[int, ...]:
    """The student layers that `layers.range` names, for a student of `layers` layers.

    "all"; "0-12", half-open; "0/28-12/28", fractions of the depth, rounded (halves up) to the
    student's layers and never empty. Raises ConfigError for anything else, a lone number included.
    """
    text = str(layer_range).replace(" ", "")
    if text == "all":
        return tuple(range(0, layers))
    if match := re.fullmatch(r"(\d+)-(\d+)", text):
        start, stop = int(match[1]), int(match[2])
        if start >= stop or stop > layers:
            raise ConfigError(
                f"layers.range={text} must be half-open, not empty and within the student's "
                f"{layers} layers (0-{layers}). Choose another range or layers=all."
            )
        return tuple(range(start, stop))
    if match := re.fullmatch(r"(\d+)/([1-9]\d*)-(\d+)/([1-9]\d*)", text):
        low, high = Fraction(int(match[1]), int(match[2])), Fraction(int(match[3]), int(match[4]))
        if not low < high <= 1:
            raise ConfigError(
                f"layers.range={text} must rise, from 0 up to 1 of the student's depth "
                f"({layers} layers). {_FORMS}"
            )
        # Both fractions may round to one number in a shallow student: one layer is then left.
        start = min(_round_half_up(low * layers), layers - 1)
        return tuple(range(start, max(_round_half_up(high * layers), start + 1)))
    raise ConfigError(
        f"layers.range={layer_range} is not a range of the student's {layers} layers. {_FORMS}"
    )


def _round_half_up(x: Fraction) -> int:
    return math.floor(x + Fraction(1, 2))
