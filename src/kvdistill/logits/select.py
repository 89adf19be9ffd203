"""The teacher that reads a text best teaches it: the lowest cross-entropy on its answer.

NeMo RL's `select_teacher`. Summed over the answer, not averaged over tokens: so teachers whose
tokenizers cut the same bytes otherwise compare.
"""

from collections.abc import Sequence
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from kvdistill.logits.teacher_mix import TeacherMix, TeacherWeights, renormalise


class Select(TeacherMix):
    """All weight to one teacher a text; the first of equals."""

    mixes_probabilities: ClassVar[bool] = False
    reads_ce: ClassVar[bool] = True

    def __init__(self, *, teachers: Sequence[str]) -> None:
        """Nothing is set."""

    def weigh_teachers(
        self,
        covered: Bool[Tensor, "teachers predicted"],
        ce: Float[Tensor, "teachers predicted"] | None,
        fused: Float[Tensor, "teachers predicted"] | None,
    ) -> TeacherWeights:
        assert ce is not None
        best = torch.zeros_like(ce).scatter_(0, ce.argmin(dim=0, keepdim=True), 1.0)
        return renormalise(best, covered)
