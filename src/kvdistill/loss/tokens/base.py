"""Which student tokens the distance of K and V is about, and how much each counts in its mean."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from kvdistill.errors import ConfigError
from kvdistill.loss.base import Distance
from kvdistill.types import Tokens


@dataclass(frozen=True, kw_only=True)
class TokenChoice(ABC):
    """Weighs the student's tokens from what they are, not from what any model says of them.

    A token of weight 0 is as one that no teacher covers: it is not projected, fused or compared.
    """

    weighs: ClassVar[bool] = False
    """Whether the tokens that are compared may have other weights than 1."""

    @abstractmethod
    def weigh_tokens(self, tokens: Tokens) -> Float[Tensor, "batch seq"] | None:
        """Each token's weight, 0 or more, in float32; None: every token counts, all alike.

        Only ratios within a text matter. What stands in the padding does not.
        """


def check_token_weights(choice: TokenChoice, distance: Distance) -> None:
    """Raises ConfigError for token weights that the distance has no argument for."""
    if choice.weighs and not distance.weighs_tokens:
        raise ConfigError(
            f"loss.tokens ({type(choice).__name__}) weighs tokens, but loss.distance "
            f"({type(distance).__name__}) counts all that it compares alike. Use "
            f"loss/tokens=answer, or loss=mse."
        )


def rank_answer_tokens(tokens: Tokens) -> Int[Tensor, "batch seq"]:
    """1 for the first answer token of a text, 2 for the next, ...; 0 for every other token."""
    answer = tokens.answer & tokens.mask
    return answer.long().cumsum(dim=1) * answer


def count_answer_tokens(tokens: Tokens) -> Int[Tensor, "batch 1"]:
    """How many answer tokens each text has."""
    return (tokens.answer & tokens.mask).sum(dim=1, keepdim=True)


def as_weights(chosen: Tensor) -> Float[Tensor, "batch seq"]:
    """1 where True, else 0."""
    return chosen.to(torch.float32)
