"""The teacher's last layers, in order: student and teacher are aligned at the top.

Source: PKD-Last of patient knowledge distillation (arXiv 1908.09355).
"""

from dataclasses import dataclass

from kvdistill.layers.base import LayerMap


@dataclass(frozen=True, kw_only=True)
class Last(LayerMap):
    """Sends layer l to l + L_t - L_s; a teacher shallower than the student is refused."""

    def map_layer(self, layer: int, *, student_layers: int, teacher_layers: int) -> float:
        # Below 0 for a teacher shallower than the student: the base refuses it by name.
        return float(layer + teacher_layers - student_layers)
