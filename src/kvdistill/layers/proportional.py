"""The same relative depth, between two teacher layers where it falls between them.

The floor map `l * L_t // L_s` never reaches the teacher's last layer; this one keeps both ends.
"""

from dataclasses import dataclass

from kvdistill.layers.base import LayerMap, map_proportionally


@dataclass(frozen=True, kw_only=True)
class Proportional(LayerMap):
    """Sends layer l to l (L_t - 1) / (L_s - 1)."""

    def map_layer(self, layer: int, *, student_layers: int, teacher_layers: int) -> float:
        return map_proportionally(
            layer, student_layers=student_layers, teacher_layers=teacher_layers
        )
