"""Which teacher layers a student layer is compared with. No torch: the plan needs it, for costs."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from kvdistill.errors import ConfigError


@dataclass(frozen=True)
class LayerPair:
    """A student layer and its target: teacher layers as `(1 - weight) * low + weight * high`."""

    student_layer: int
    low: int
    high: int
    """Equal to `low` when the weight is 0."""
    weight: float
    """In [0, 1)."""

    @property
    def teacher_layers(self) -> tuple[int, ...]:
        """The one or two teacher layers that are read."""
        return (self.low,) if self.low == self.high else (self.low, self.high)


@dataclass(frozen=True, kw_only=True)
class LayerMap(ABC):
    """Sends a student layer to a (possibly fractional) teacher layer."""

    @abstractmethod
    def map_layer(self, layer: int, *, student_layers: int, teacher_layers: int) -> float:
        """The teacher layer of a student layer; the caller refuses one outside the teacher."""

    def __call__(
        self, selected: tuple[int, ...], *, student_layers: int, teacher_layers: int
    ) -> list[LayerPair]:
        """One pair a selected student layer, in order. Raises ConfigError outside the teacher."""
        pairs = []
        for layer in selected:
            at = self.map_layer(layer, student_layers=student_layers, teacher_layers=teacher_layers)
            # Never clamped: several student layers would silently share the last teacher layer.
            if not 0 <= at <= teacher_layers - 1:
                raise ConfigError(
                    f"layers.map sends student layer {layer} to teacher layer {at:g}, but the "
                    f"teacher has layers 0 to {teacher_layers - 1}. "
                    f"Choose another layers.map or layers.range."
                )
            low, weight = int(at), at - int(at)
            # Whole positions read one layer: no second one is captured, fitted or interpolated.
            pairs.append(LayerPair(layer, low, low + 1 if weight > 0 else low, weight))
        return pairs


def map_proportionally(layer: int, *, student_layers: int, teacher_layers: int) -> float:
    """The teacher layer at the same relative depth, both endpoints kept: l (L_t - 1) / (L_s - 1).

    A student of one layer has both endpoints at once; it gets the teacher's last.
    """
    if student_layers == 1:
        return float(teacher_layers - 1)
    # One division of whole numbers: exact wherever the result is whole.
    return layer * (teacher_layers - 1) / (student_layers - 1)
