"""Which of a teacher's own tokens are kept, decided for each student layer.

A compression (kvpress calls it a press) is one small module: it scores the tokens of one teacher
layer, and the base keeps the best. The result is a mask; nothing is gathered, so the student is
compared wherever its own token still has a kept teacher token under it. A press that looks at keys
scores each KV head (`HeadCompression`); whether heads then agree on the tokens is `heads`.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from kvdistill.config.check_rooms import check_kept_tokens
from kvdistill.errors import ConfigError
from kvdistill.types import Layer

HEADS = ("own", "mean")


@dataclass(frozen=True, kw_only=True)
class Compression(ABC):
    """Keeps the tokens with the highest scores."""

    needs_attention: ClassVar[bool] = False
    """Whether `score` reads rotated queries and keys, so that capture must hook them."""
    layer_independent: ClassVar[bool] = False
    """Whether `score` is the same for every layer of a teacher: then one mask serves all."""

    keep: float | int = 1.0
    """A ratio in (0, 1] of a text's real tokens (float), or a number of tokens (int): 1.0 is all
    of them, 1 is one."""

    def __post_init__(self) -> None:
        check_kept_tokens(self.keep)

    @property
    def by_head(self) -> bool:
        """Whether each KV head keeps tokens of its own: then `score` has an axis of heads."""
        return False

    @abstractmethod
    def score(self, layer: Layer) -> Float[Tensor, "batch *heads seq"]:
        """How much each token of a layer is worth keeping. Values under the mask are ignored."""

    def compute_budget(self, mask: Bool[Tensor, "batch seq"]) -> Int[Tensor, " batch"]:
        """Tokens to keep of each text: at least one, but never more than it has."""
        real = mask.sum(dim=1)
        count = (
            (real * self.keep).round() if isinstance(self.keep, float)
            else torch.full_like(real, self.keep)
        )  # fmt: skip
        return count.long().clamp(min=1).minimum(real)

    def score_in_float32(self, layer: Layer) -> Float[Tensor, "batch *heads seq"]:
        """`score`, in float32 also under autocast."""
        # bfloat16 has 8 bits: cosines and softmax weights of long texts would tie by the dozen.
        with torch.autocast(layer.tokens.mask.device.type, enabled=False):
            return self.score(layer).float()

    def keep_best(
        self, scores: Sequence[Float[Tensor, "batch *heads seq"]], mask: Bool[Tensor, "batch seq"]
    ) -> Bool[Tensor, "batch *heads seq"]:
        """The tokens to keep, by the mean of the scores of a pair's one or two teacher layers.

        As many for each head, where scores have an axis of heads.
        """
        score = torch.stack(list(scores)).mean(dim=0)
        budget = self.compute_budget(mask)[:, None]
        if score.dim() == 3:
            mask, budget = mask[:, None], budget[:, None]
        # Padding is ranked last whatever its score is, NaN included.
        score = score.masked_fill(~mask, -torch.inf)
        # A stable sort gives ties to the earlier token, whatever the padding.
        order = score.argsort(dim=-1, descending=True, stable=True)
        rank = torch.empty_like(order).scatter_(
            -1, order, torch.arange(order.shape[-1], device=order.device).expand_as(order)
        )
        return mask & (rank < budget)


@dataclass(frozen=True, kw_only=True)
class HeadCompression(Compression):
    """Scores each KV head's tokens."""

    heads: str = "mean"
    """`own`: each KV head keeps the tokens that it scores highest, as a press of a cache does;
    `mean`: all heads keep the same tokens, those of the highest mean score."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.heads not in HEADS:
            raise ConfigError(
                f"compression.heads={self.heads} is none of {', '.join(HEADS)}. Choose one."
            )

    @property
    def by_head(self) -> bool:
        return self.heads == "own"

    @abstractmethod
    def score_heads(self, layer: Layer) -> Float[Tensor, "batch heads seq"]:
        """How much each token is worth to each KV head. Values under the mask are ignored."""

    def score(self, layer: Layer) -> Float[Tensor, "batch *heads seq"]:
        """The scores of heads, or their mean."""
        scores = self.score_heads(layer)
        return scores if self.by_head else scores.mean(dim=1)
