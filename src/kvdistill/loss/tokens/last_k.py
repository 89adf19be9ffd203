"""The last tokens of the answer alone are compared.

On-policy representation distillation matches the last 2,000 of a response (arXiv 2606.06021).
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from kvdistill.errors import ConfigError
from kvdistill.loss.tokens.base import (
    TokenChoice,
    as_weights,
    count_answer_tokens,
    rank_answer_tokens,
)
from kvdistill.types import Tokens


@dataclass(frozen=True, kw_only=True)
class LastK(TokenChoice):
    """The last `k` answer tokens of each text, whether a teacher covers them or not."""

    k: int

    def __post_init__(self) -> None:
        if self.k < 1:
            raise ConfigError(
                f"loss.tokens.k={self.k} must be at least 1 token. Use loss/tokens=all for every "
                f"token."
            )

    def weigh_tokens(self, tokens: Tokens) -> Float[Tensor, "batch seq"] | None:
        rank = rank_answer_tokens(tokens)
        return as_weights((rank > 0) & (rank > count_answer_tokens(tokens) - self.k))
