"""The study's trainable `nn.Linear(teacher_dim, student_dim)`, with safeguards on a moving target.

It starts as the ridge fit, learns at a small rate (or not at all), and each map is kept at the
variance that its fit had on calibration tokens: trained freely, a teacher-side map can lower the
loss by shrinking the target to zero.
"""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from kvdistill.geometry import Geometry
from kvdistill.kv.moments import Moments
from kvdistill.layers.base import LayerPair
from kvdistill.projection.base import (
    MapId,
    Projection,
    check_lr_scale,
    check_penalty,
    list_map_ids,
    map_across_heads,
    zero_padding,
)
from kvdistill.types import KV


class Linear(Projection):
    """Trained maps, each of constant calibrated output variance."""

    def __init__(
        self,
        *,
        student: Geometry,
        teacher: Geometry,
        layer_pairs: Sequence[LayerPair],
        penalty: float,
        lr_scale: float,
    ) -> None:
        super().__init__(student=student, teacher=teacher, layer_pairs=layer_pairs)
        self.penalty, self.lr_scale = check_penalty(penalty), check_lr_scale(lr_scale)
        self.trains = lr_scale > 0
        self._index = {map_id: i for i, map_id in enumerate(list_map_ids(layer_pairs))}
        self.keys, self.values = (
            _LayerMaps(len(self._index), teacher.kv_width, student, self.trains) for _ in range(2)
        )

    def fit(self, moments: Mapping[MapId, tuple[Moments, Moments]]) -> None:
        for map_id, i in self._index.items():
            for maps, part in zip((self.keys, self.values), moments[map_id], strict=True):
                maps.set_map(i, part.fit_ridge(self.penalty), part.cov_xx)

    def project_teacher(self, kv: KV, map_id: MapId) -> KV:
        i, kv = self._index[map_id], zero_padding(kv)
        return KV(self.keys(kv.keys, i), self.values(kv.values, i), kv.mask)


class _LayerMaps(nn.Module):
    """The maps of the keys, or of the values."""

    cov: Float[Tensor, "maps teacher_width teacher_width"]
    variance: Float[Tensor, " maps"]

    def __init__(self, count: int, width: int, student: Geometry, trains: bool) -> None:
        super().__init__()
        self._heads = student.kv_heads
        shape = (width, student.kv_width)
        self.weights = nn.ParameterList(
            nn.Parameter(torch.full(shape, torch.nan), requires_grad=trains) for _ in range(count)
        )
        # Set by every fit, so not part of a checkpoint: teacher_width^2 numbers a map.
        self.register_buffer("cov", torch.full((count, width, width), torch.nan), persistent=False)
        self.register_buffer("variance", torch.full((count,), torch.nan), persistent=False)

    @torch.no_grad()
    def set_map(
        self,
        i: int,
        weight: Float[Tensor, "teacher_width student_width"],
        cov: Float[Tensor, "teacher_width teacher_width"],
    ) -> None:
        self.weights[i].copy_(weight)
        self.cov[i] = cov
        self.variance[i] = (weight * (cov @ weight)).sum()

    def forward(
        self, x: Float[Tensor, "batch heads seq dim"], i: int
    ) -> Float[Tensor, "batch out_heads seq out_dim"]:
        weight = self.weights[i]
        with torch.autocast(weight.device.type, enabled=False):
            # Rescaled in every forward, and differentiated through: shrinking it gains nothing.
            variance = (weight * (self.cov[i] @ weight)).sum()
            weight = weight * (self.variance[i] / variance).sqrt()
        return map_across_heads(x, weight, self._heads)
