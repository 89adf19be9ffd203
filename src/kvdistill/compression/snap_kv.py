"""SnapKV: the last tokens vote, by their attention, on those before (arXiv 2404.14469, listing 1).

Votes are attention weights averaged over the observation window, then over neighbouring tokens.
Where query heads share a KV head their votes are averaged (FasterDecoding/SnapKV issue 22). With a
window and a kernel of 1 this is TOVA (arXiv 2401.06104): the last token alone votes.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import avg_pool1d

from kvdistill.compression.base import HeadCompression
from kvdistill.compression.heads import (
    check_kernel,
    check_window,
    get_rotated,
    iterate_groups,
    keep_window,
    list_last_rows,
    sum_attention,
)
from kvdistill.types import Layer


@dataclass(frozen=True, kw_only=True)
class SnapKV(HeadCompression):
    """Keeps the last `window` tokens and those that they attend to most."""

    needs_attention: ClassVar[bool] = True

    window: int = 8
    kernel: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        check_window(self.window)
        check_kernel(self.kernel)

    def score_heads(self, layer: Layer) -> Float[Tensor, "batch heads seq"]:
        """In [0, 1] before the window; above 1 and rising within it."""
        queries, keys = get_rotated(layer)
        mask = layer.tokens.mask
        rows = list_last_rows(mask, self.window)
        voters = torch.full_like(rows[:, 0], self.window)
        real = mask.sum(dim=1, keepdim=True)
        before = torch.arange(mask.shape[1], device=mask.device) < real - self.window
        scores = torch.zeros(keys.shape[:3], device=mask.device)
        for b, h, q, k in iterate_groups(queries, keys, mask):
            votes = sum_attention(q, k, rows[b], voters[b], mask[b]).mean(dim=2) / self.window
            # Outside the text and in its window there is nothing, as beyond the ends of a row.
            votes = votes.masked_fill(~before[b, None], 0)
            scores[b, h] = avg_pool1d(votes, self.kernel, stride=1, padding=self.kernel // 2)
        return keep_window(scores, mask, self.window)
