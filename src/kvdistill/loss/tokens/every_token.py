"""Every token that a teacher covers is compared, prompt and answer alike."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from kvdistill.loss.tokens.base import TokenChoice
from kvdistill.types import Tokens


@dataclass(frozen=True, kw_only=True)
class EveryToken(TokenChoice):
    """No choice."""

    def weigh_tokens(self, tokens: Tokens) -> Float[Tensor, "batch seq"] | None:
        return None
