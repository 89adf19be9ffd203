"""Moments of K and V, measured once on calibration rows and constant in training.

For each distilled student layer, the teacher's vectors x are those of its one or two teacher
layers side by side, so that the variance of an interpolated target is known exactly.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from kvdistill.kv.moments import Moments
from kvdistill.layers.base import LayerPair

LayerMoments = dict[int, tuple[Moments, Moments]]
"""Student layer -> moments of (keys, values)."""

PARTS = ("fit", "held_out", "shuffled")


@dataclass(frozen=True)
class Calibration:
    """Moments of one teacher against the raw student, on rows of the teachers' half."""

    fit: LayerMoments
    held_out: LayerMoments
    """Other rows, for R^2."""
    shuffled: LayerMoments
    """The held-out rows, each with the teacher's K and V of another one."""
    held: Mapping[int, float] = field(default_factory=dict)
    """Student layer -> share of the teacher's (token, head) pairs that heads hold, where each keeps
    tokens of its own; what they dropped then stands in the moments as its mean."""

    def save(self, folder: Path) -> None:
        """Writes calibration.safetensors: one tensor a part, layer, keys or values, and sum."""
        tensors = {
            f"{part}.{layer}.{name}.{field.name}": getattr(moments, field.name).contiguous()
            for part in PARTS
            for layer, both in getattr(self, part).items()
            for name, moments in zip(("keys", "values"), both, strict=True)
            for field in fields(Moments)
        }
        tensors |= {
            f"held.{layer}": torch.tensor(share, dtype=torch.float64)
            for layer, share in self.held.items()
        }
        save_file(tensors, folder / "calibration.safetensors")

    @classmethod
    def load(cls, folder: Path) -> "Calibration":
        """Reads what `save` wrote."""
        tensors = load_file(folder / "calibration.safetensors")
        parts: dict[str, LayerMoments] = {}
        for part in PARTS:
            layers = sorted({int(key.split(".")[1]) for key in tensors if key.startswith(part)})
            parts[part] = {
                layer: tuple(  # type: ignore[misc]
                    Moments(*(tensors[f"{part}.{layer}.{name}.{f.name}"] for f in fields(Moments)))
                    for name in ("keys", "values")
                )
                for layer in layers
            }
        held = {
            int(key.removeprefix("held.")): float(tensor)
            for key, tensor in tensors.items()
            if key.startswith("held.")
        }
        return cls(**parts, held=held)


def slice_teacher_layer(moments: Moments, pair: LayerPair, index: int) -> Moments:
    """The moments of one of a pair's teacher layers, out of those side by side."""
    width = len(moments.x) // len(pair.teacher_layers)
    part = slice(index * width, (index + 1) * width)
    return Moments(
        moments.count,
        moments.x[part],
        moments.y,
        moments.xx[part, part],
        moments.xy[part],
        moments.yy,
    )


def compute_target_std(moments: Moments, weight: torch.Tensor) -> float:
    """Standard deviation of `x @ weight`: root mean square over its elements, centred."""
    w = weight.double()
    # Rounding may leave a variance of 0 just below it.
    return float(((w * (moments.cov_xx @ w)).sum() / w.shape[1]).clamp(min=0).sqrt())
