"""The student is projected to the teacher: the target is fixed, and the map is dropped later.

Sources: the direction of sentence-transformers PR 3665 and of Low-Rank Clone (arXiv 2505.12781).
Each teacher has a space of its own, so there is one teacher, whose raw neighbouring layers are
interpolated: one map of the student can be fitted to any fixed mixture of them.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from kvdistill.geometry import Geometry
from kvdistill.kv.moments import Moments
from kvdistill.layers.base import LayerPair
from kvdistill.projection.base import (
    MapId,
    Projection,
    check_lr_scale,
    check_penalty,
    map_across_heads,
    zero_padding,
)
from kvdistill.types import KV


class StudentSide(Projection):
    """One trained map a student layer, starting as the ridge fit of the teacher on the student."""

    in_student_space = False
    mixes_heads = False

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
        self._heads, self._layer_pairs = teacher.kv_heads, tuple(layer_pairs)
        self._index = {pair.student_layer: i for i, pair in enumerate(layer_pairs)}
        shape = (student.kv_width, teacher.kv_width)
        self.keys, self.values = (
            nn.ParameterList(
                nn.Parameter(torch.full(shape, torch.nan), requires_grad=self.trains)
                for _ in layer_pairs
            )
            for _ in range(2)
        )

    @torch.no_grad()
    def fit(self, moments: Mapping[MapId, tuple[Moments, Moments]]) -> None:
        for i, pair in enumerate(self._layer_pairs):
            shares = (1 - pair.weight, pair.weight)
            for part, maps in enumerate((self.keys, self.values)):
                # Ridge is linear in what it predicts, so the mixture's fit is the fits' mixture. A
                # pair of one teacher layer has weight 0, and zip drops its second share.
                fits = (
                    share * moments[pair.student_layer, layer][part].reverse.fit_ridge(self.penalty)
                    for share, layer in zip(shares, pair.teacher_layers, strict=False)
                )
                maps[i].copy_(sum(fits))

    def project_teacher(self, kv: KV, map_id: MapId) -> KV:
        return kv

    def project_student(self, kv: KV, map_id: MapId) -> KV:
        i, kv = self._index[map_id[0]], zero_padding(kv)
        return KV(
            map_across_heads(kv.keys, self.keys[i], self._heads),
            map_across_heads(kv.values, self.values[i], self._heads),
            kv.mask,
        )
