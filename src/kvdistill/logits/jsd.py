"""The generalised Jensen-Shannon divergence of GKD (Agarwal et al., arXiv 2306.13649, eq. 1).

As TRL's GKDTrainer defines its `beta`: 0 is forward KL and 1 reverse KL, though the formula itself
goes to 0 there.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from kvdistill.errors import ConfigError
from kvdistill.logits.base import LogitDistance, compute_kl


class JSD(LogitDistance):
    """T^2 (beta KL(p_t || m) + (1 - beta) KL(p_s || m)), m = beta p_t + (1 - beta) p_s."""

    def __init__(self, *, temperature: float, beta: float) -> None:
        """Raises ConfigError for a beta outside [0, 1]."""
        super().__init__(temperature=temperature)
        if not 0 <= beta <= 1:
            raise ConfigError(
                f"logits.distance.beta={beta} must be from 0 (forward KL) to 1 (reverse KL)."
            )
        self.beta = float(beta)

    def measure_tokens(
        self,
        student_logits: Float[Tensor, "predicted vocab"],
        teacher_log_probs: Float[Tensor, "predicted vocab"],
    ) -> Float[Tensor, " predicted"]:
        own, beta = self.soften(student_logits), self.beta
        if beta in (0, 1):
            pair = (teacher_log_probs, own) if beta == 0 else (own, teacher_log_probs)
            return compute_kl(*pair) * self.temperature**2
        mixture = torch.logaddexp(own + math.log1p(-beta), teacher_log_probs + math.log(beta))
        of_teacher = compute_kl(teacher_log_probs, mixture)
        of_student = compute_kl(own, mixture)
        return (beta * of_teacher + (1 - beta) * of_student) * self.temperature**2
