"""The answer's tokens count by their place in it.

A teacher that has read more of an answer is more to be trusted on its next token: its reliability
is best told by position, and later tokens are weighted more (arXiv 2605.21606). That teachers are
least to be trusted late is also held (arXiv 2606.22600): `last` below `first` tries that.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from kvdistill.errors import ConfigError
from kvdistill.loss.tokens.base import TokenChoice, count_answer_tokens, rank_answer_tokens
from kvdistill.types import Tokens


@dataclass(frozen=True, kw_only=True)
class PositionWeighted(TokenChoice):
    """Weights in a straight line from the answer's `first` token to its `last`."""

    weighs: ClassVar[bool] = True

    first: float
    last: float

    def __post_init__(self) -> None:
        for name in ("first", "last"):
            # Above 0: an answer of one token would else have no token at all.
            if not getattr(self, name) > 0:
                raise ConfigError(
                    f"loss.tokens.{name}={getattr(self, name)} must be above 0: it is the weight "
                    f"of a token. Use loss/tokens=last_k to leave tokens out."
                )

    def weigh_tokens(self, tokens: Tokens) -> Float[Tensor, "batch seq"] | None:
        rank = rank_answer_tokens(tokens)
        # The only token of an answer is its first.
        steps = (count_answer_tokens(tokens) - 1).clamp(min=1)
        place = (rank - 1).to(torch.float32) / steps
        return (self.first + (self.last - self.first) * place) * (rank > 0)
