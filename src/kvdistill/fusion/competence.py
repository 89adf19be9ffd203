"""How well teachers predict the answers that they read: what a fusion may weigh them by.

It comes from each teacher's own next-token distributions over its own tokens. Teachers run to their
heads for it where the fusion's YAML has the field `competence` (plan/teaching/signals.py).
"""

from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Tensor


@dataclass(frozen=True)
class Competence:
    """Of a batch, teachers in the order of the targets; float32, nats, no gradient.

    By text a mean over the teacher's own predicted answer tokens, 0 where it has none. By token on
    the student's covered tokens, laid out as the targets' (batch, seq): the mean over the answer
    tokens that a student token is linked to, each with what the distribution said that predicted
    it; 0 outside `token_mask`, so in the prompt.
    """

    ce: Float[Tensor, "teachers batch"]
    """-log p of the token that came."""
    entropy: Float[Tensor, "teachers batch"]
    max_log_prob: Float[Tensor, "teachers batch"]
    """log p of the likeliest token."""
    token_ce: Float[Tensor, "teachers batch seq"]
    token_entropy: Float[Tensor, "teachers batch seq"]
    token_max_log_prob: Float[Tensor, "teachers batch seq"]
    token_mask: Bool[Tensor, "teachers batch seq"]
    """Where a teacher says something of a student token."""
    answer_tokens: Float[Tensor, "teachers batch"]
    """How many of its own answer tokens a teacher says something of; the means are over these."""
