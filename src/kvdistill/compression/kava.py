"""KaVa's eviction: keeps what the answer attends to and what differs from the rest.

S = lambda I + (1 - lambda) R (arXiv 2510.02312, Listing 1). There the answer follows the whole
chain of thought; here the answer's span holds its reasoning too, so each of its rows attends to
the real tokens up to itself. Padding enters neither term.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from kvdistill.compression.base import HeadCompression
from kvdistill.compression.heads import (
    get_rotated,
    iterate_groups,
    normalise_keys,
    sum_attention,
)
from kvdistill.errors import ConfigError
from kvdistill.types import Layer


@dataclass(frozen=True, kw_only=True)
class Kava(HeadCompression):
    """Keeps the tokens with the highest sum of the two terms."""

    needs_attention: ClassVar[bool] = True

    balance: float = 0.1
    """Lambda."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.balance <= 1:
            raise ConfigError(f"compression.balance is {self.balance} but must be in [0, 1].")

    def score_heads(self, layer: Layer) -> Float[Tensor, "batch heads seq"]:
        """In [0, 1]."""
        queries, keys = get_rotated(layer)
        mask = layer.tokens.mask
        rows, count = layer.tokens.answer_rows
        scores = torch.zeros(keys.shape[:3], device=mask.device)
        for b, h, q, k in iterate_groups(queries, keys, mask):
            attended = sum_attention(q, k, rows[b], count[b], mask[b]).amax(dim=2)
            mean = attended / count[b].clamp(min=1)[:, None, None]
            distinct = score_distinctness(k, mask[b])
            scores[b, h] = self.balance * mean + (1 - self.balance) * distinct
        return scores


def score_distinctness(
    keys: Float[Tensor, "batch heads seq dim"], mask: Bool[Tensor, "batch seq"]
) -> Float[Tensor, "batch heads seq"]:
    """Softmax over tokens of minus the mean cosine with the others; pads of `keys` are zero."""
    k = normalise_keys(keys)
    # The sum over others of k_i . k_j is k_i . (sum of all) less k_i . k_i: no seq x seq matrix.
    others = (k * k.sum(dim=2, keepdim=True)).sum(dim=-1) - k.square().sum(dim=-1)
    mean = others / mask.sum(dim=1)[:, None, None]
    return (-mean).masked_fill(~mask[:, None], -torch.inf).softmax(dim=-1)
