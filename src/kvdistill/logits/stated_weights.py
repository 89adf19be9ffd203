"""Weights that do not ask what the teachers know: stated, or those of the KV fusion, or uniform."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from kvdistill.config.check_rooms import check_teacher_weights
from kvdistill.logits.teacher_mix import TeacherMix, TeacherWeights, renormalise


class StatedWeights(TeacherMix):
    """One weight a teacher, in the teachers' order; null: the fusion's, uniform without one."""

    def __init__(self, *, teachers: Sequence[str], weights: Sequence[float] | None) -> None:
        """Raises ConfigError for weights that are not one a teacher, negative or not of sum 1."""
        self.weights = None
        if weights is not None:
            path = "logits.teachers.weights"
            check_teacher_weights(path, weights, teachers, "those of the fusion")
            self.weights = torch.tensor(weights, dtype=torch.float32)

    def weigh_teachers(
        self,
        covered: Bool[Tensor, "teachers predicted"],
        ce: Float[Tensor, "teachers predicted"] | None,
        fused: Float[Tensor, "teachers predicted"] | None,
    ) -> TeacherWeights:
        if self.weights is not None:
            shares = self.weights.to(covered.device)[:, None].expand(covered.shape)
        elif fused is not None:
            # A token of the answer that compression left no teacher's K and V has no fusion.
            shares = torch.where(fused.sum(dim=0) > 0, fused, 1.0)
        else:
            shares = torch.ones(covered.shape, device=covered.device)
        return renormalise(shares, covered)
