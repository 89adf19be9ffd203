"""Weights set beforehand, the same at every token and layer; uniform if none are given."""

from collections.abc import Sequence

import torch
from torch import Tensor

from kvdistill.config.check_rooms import check_teacher_weights
from kvdistill.fusion.base import Fusion, Weights
from kvdistill.geometry import Geometry
from kvdistill.types import KV


class Fixed(Fusion):
    """One weight a teacher, in the teachers' order, renormalised where one has no valid token."""

    weights: Tensor

    def __init__(
        self,
        *,
        student: Geometry,
        teachers: Sequence[str],
        layers: Sequence[int],
        weights: Sequence[float] | None,
    ) -> None:
        super().__init__(student=student, teachers=teachers, layers=layers)
        given = [1 / len(teachers)] * len(teachers) if weights is None else list(weights)
        check_teacher_weights("fusion.weights", given, teachers, "uniform")
        self.register_buffer("weights", torch.tensor(given, dtype=torch.float32))

    def compute_logits(
        self, own: KV, targets: Sequence[KV], layer: int, progress: float
    ) -> Weights:
        # A weight of 0 becomes minus infinity: that teacher is excluded also where it is alone.
        return self.weights.log()[:, None, None].expand(-1, *own.mask.shape)
