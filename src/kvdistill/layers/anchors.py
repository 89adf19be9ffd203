"""Named pairs of layers, linear between and beyond: for a student whose layers have an origin.

A student made of every other teacher layer is best compared with the layers it came from.
"""

import re
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass

from kvdistill.errors import ConfigError
from kvdistill.layers.base import LayerMap


@dataclass(frozen=True, kw_only=True)
class Anchors(LayerMap):
    """Sends each anchored student layer to its teacher layer, and the others along the lines."""

    anchors: Mapping[int | str, int] | str
    """Student layer to teacher layer, at least two: {0: 0, 14: 28}, or "0:0, 14:28"."""

    def __post_init__(self) -> None:
        if len(self.anchor_map) < 2:
            raise ConfigError(
                f"layers.map.anchors={self.anchors} must name at least two student layers and "
                f"their teacher layers. Write for example {{0: 0, 14: 28}}."
            )

    @property
    def anchor_map(self) -> dict[int, int]:
        """Student layer to teacher layer, in the order of the student; empty if unreadable."""
        text = str(self.anchors)
        if isinstance(self.anchors, Mapping):
            # A config that has been through JSON has its keys as text.
            text = ", ".join(f"{student}: {teacher}" for student, teacher in self.anchors.items())
        if not re.fullmatch(r"\s*\d+\s*:\s*\d+\s*(,\s*\d+\s*:\s*\d+\s*)*", text):
            return {}
        items = (item.split(":") for item in text.split(","))
        return dict(sorted((int(student), int(teacher)) for student, teacher in items))

    def map_layer(self, layer: int, *, student_layers: int, teacher_layers: int) -> float:
        teacher = self.anchor_map
        students = list(teacher)
        # The segment that holds the layer; the first and last segments run on beyond the ends.
        left = min(max(bisect_right(students, layer) - 1, 0), len(students) - 2)
        low, high = students[left], students[left + 1]
        return teacher[low] + (layer - low) * (teacher[high] - teacher[low]) / (high - low)
