"""KL(teacher || student): the student must cover all that the teacher holds likely."""

import torch
from jaxtyping import Float
from torch import Tensor

from kvdistill.logits.base import LogitDistance


class ForwardKL(LogitDistance):
    """T^2 sum_v p_t(v) (log p_t(v) - log p_s(v)), p = softmax(z / T)."""

    def measure_tokens(
        self,
        student_logits: Float[Tensor, "predicted vocab"],
        teacher_log_probs: Float[Tensor, "predicted vocab"],
    ) -> Float[Tensor, " predicted"]:
        own = torch.log_softmax(student_logits.float() / self.temperature, dim=-1)
        apart = torch.nn.functional.kl_div(
            own, teacher_log_probs, reduction="none", log_target=True
        )
        return apart.sum(dim=-1) * self.temperature**2
