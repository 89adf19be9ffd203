"""KL(teacher || student): the student must cover all that the teacher holds likely."""

from jaxtyping import Float
from torch import Tensor

from kvdistill.logits.base import LogitDistance, compute_kl


class ForwardKL(LogitDistance):
    """T^2 sum_v p_t(v) (log p_t(v) - log p_s(v)), p = softmax(z / T)."""

    def measure_tokens(
        self,
        student_logits: Float[Tensor, "predicted vocab"],
        teacher_log_probs: Float[Tensor, "predicted vocab"],
    ) -> Float[Tensor, " predicted"]:
        own = self.soften(student_logits)
        return compute_kl(teacher_log_probs, own) * self.temperature**2
