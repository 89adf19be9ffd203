"""The student's first layers face the teacher's last: a control that a layer map must beat."""

from dataclasses import dataclass

from kvdistill.layers.base import LayerMap, map_proportionally


@dataclass(frozen=True, kw_only=True)
class Reversed(LayerMap):
    """Sends layer l to (L_t - 1) - l (L_t - 1) / (L_s - 1)."""

    def map_layer(self, layer: int, *, student_layers: int, teacher_layers: int) -> float:
        # Counted from the student's top, so that whole results stay exact.
        mirrored = student_layers - 1 - layer
        return map_proportionally(
            mirrored, student_layers=student_layers, teacher_layers=teacher_layers
        )
