"""The one teacher layer nearest to the same relative depth: no interpolation, half the layers."""

import math
from dataclasses import dataclass

from kvdistill.layers.base import LayerMap, map_proportionally


@dataclass(frozen=True, kw_only=True)
class Nearest(LayerMap):
    """Rounds the proportional map to a whole layer, halves up."""

    def map_layer(self, layer: int, *, student_layers: int, teacher_layers: int) -> float:
        at = map_proportionally(layer, student_layers=student_layers, teacher_layers=teacher_layers)
        # Not round(): it sends halves to even numbers, so up at one depth and down at another.
        return float(math.floor(at + 0.5))
