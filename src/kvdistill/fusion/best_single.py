"""One named teacher has all the weight: what fusions must beat, because more teachers can hurt."""

from collections.abc import Sequence

import torch
from torch import Tensor

from kvdistill.errors import ConfigError
from kvdistill.fusion.base import Fusion, Weights
from kvdistill.geometry import Geometry
from kvdistill.types import KV


class BestSingle(Fusion):
    """The teacher named is the target wherever it has a valid token; elsewhere there is none."""

    shut: Tensor
    """0 for the named teacher, minus infinity for the others; checkpoints hold it by this name."""

    def __init__(
        self,
        *,
        student: Geometry,
        teachers: Sequence[str],
        layers: Sequence[int],
        teacher: str | None,
    ) -> None:
        super().__init__(student=student, teachers=teachers, layers=layers)
        if teacher not in teachers:
            raise ConfigError(
                f"fusion.teacher={teacher} must name one of the teachers: {', '.join(teachers)}. "
                f"Name the one with the best validation score."
            )
        others = torch.tensor([name != teacher for name in teachers])
        self.register_buffer("shut", torch.zeros(len(teachers)).masked_fill(others, -torch.inf))

    def compute_logits(
        self, own: KV, targets: Sequence[KV], layer: int, progress: float
    ) -> Weights:
        return self.shut[:, None, None].expand(-1, *own.mask.shape)
