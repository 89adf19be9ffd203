"""How far the student's next-token distribution is from a target distribution."""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor

from kvdistill.errors import ConfigError


class LogitDistance(ABC):
    """Compares distributions over one vocabulary, each softened by the same temperature.

    The distance is multiplied by temperature^2, so that its gradient keeps the size that it has at
    1 (Hinton et al., arXiv 1503.02531).
    """

    def __init__(self, *, temperature: float) -> None:
        """Raises ConfigError for a temperature that is not above 0."""
        if not 0 < temperature < float("inf"):
            raise ConfigError(
                f"logits.temperature must be above 0, got {temperature}. 1 compares the "
                f"distributions as they are."
            )
        self.temperature = float(temperature)

    @abstractmethod
    def measure_tokens(
        self,
        student_logits: Float[Tensor, "predicted vocab"],
        teacher_log_probs: Float[Tensor, "predicted vocab"],
    ) -> Float[Tensor, " predicted"]:
        """The distance at each predicted token, in nats times temperature^2; float32.

        `student_logits` are as the model gives them, in any dtype; `teacher_log_probs` are already
        softened, float32 and finite, and get no gradient.
        """

    def soften(self, logits: Float[Tensor, "predicted vocab"]) -> Float[Tensor, "predicted vocab"]:
        """Log-probabilities at the temperature; float32."""
        x = logits.float()
        return torch.log_softmax(x if self.temperature == 1 else x / self.temperature, dim=-1)


def compute_kl(
    p: Float[Tensor, "predicted vocab"], q: Float[Tensor, "predicted vocab"]
) -> Float[Tensor, " predicted"]:
    """KL(p || q) in nats of finite log-probabilities."""
    # The difference first: it is exactly 0 where the two agree. The product is never written out.
    return torch.linalg.vecdot(p.exp(), p - q)
