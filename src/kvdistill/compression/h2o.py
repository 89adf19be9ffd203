"""H2O: heavy hitters, by the attention that all tokens pay them, and the last (arXiv 2306.14048).

The accumulated attention of algorithm 1, over the whole text at once as after one prefill; the
paper evicts token by token while it decodes. Where query heads share a KV head it is averaged.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from kvdistill.compression.base import HeadCompression
from kvdistill.compression.heads import (
    get_rotated,
    iterate_groups,
    keep_window,
    sum_attention,
)
from kvdistill.errors import ConfigError
from kvdistill.types import Layer


@dataclass(frozen=True, kw_only=True)
class H2O(HeadCompression):
    """Keeps the last tokens, a share of the budget, and those that were attended to most."""

    needs_attention: ClassVar[bool] = True

    recent: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.recent <= 1:
            raise ConfigError(f"compression.recent is {self.recent} but must be in [0, 1].")

    def score_heads(self, layer: Layer) -> Float[Tensor, "batch heads seq"]:
        """In [0, 1] before the last tokens; above 1 and rising within them."""
        queries, keys = get_rotated(layer)
        mask = layer.tokens.mask
        real = mask.sum(dim=1)
        rows = torch.arange(mask.shape[1], device=mask.device).expand(mask.shape)
        scores = torch.zeros(keys.shape[:3], device=mask.device)
        for b, h, q, k in iterate_groups(queries, keys, mask):
            attended = sum_attention(q, k, rows[b], real[b], mask[b]).mean(dim=2)
            scores[b, h] = attended / real[b].clamp(min=1)[:, None, None]
        recent = (self.compute_budget(mask) * self.recent).round().long()
        return keep_window(scores, mask, recent)
