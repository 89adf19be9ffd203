"""The answer's tokens alone are compared: those over which cross-entropy is computed."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from kvdistill.loss.tokens.base import TokenChoice, as_weights
from kvdistill.types import Tokens


@dataclass(frozen=True, kw_only=True)
class AnswerTokens(TokenChoice):
    """Prompts are left out, in every turn of a conversation."""

    def weigh_tokens(self, tokens: Tokens) -> Float[Tensor, "batch seq"] | None:
        return as_weights(tokens.answer)
