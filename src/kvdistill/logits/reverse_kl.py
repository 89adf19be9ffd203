"""KL(student || teacher): the student keeps to what the teacher holds likely (arXiv 2306.08543)."""

from jaxtyping import Float
from torch import Tensor

from kvdistill.logits.base import LogitDistance, compute_kl


class ReverseKL(LogitDistance):
    """T^2 sum_v p_s(v) (log p_s(v) - log p_t(v)), p = softmax(z / T)."""

    def measure_tokens(
        self,
        student_logits: Float[Tensor, "predicted vocab"],
        teacher_log_probs: Float[Tensor, "predicted vocab"],
    ) -> Float[Tensor, " predicted"]:
        own = self.soften(student_logits)
        return compute_kl(own, teacher_log_probs) * self.temperature**2
