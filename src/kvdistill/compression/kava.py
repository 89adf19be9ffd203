"""KaVa's eviction: keeps what the answer attends to and what differs from the rest.

S = lambda I + (1 - lambda) R (arXiv 2510.02312, Listing 1). There the answer follows the whole
chain of thought; here the answer's span holds its reasoning too, so each of its rows attends to
the real tokens up to itself. Padding enters neither term.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from kvdistill.compression.base import Compression
from kvdistill.compression.heads import (
    compute_gqa_logits,
    count_rows_that_fit,
    iterate_blocks,
    normalise_keys,
)
from kvdistill.errors import ConfigError
from kvdistill.types import Layer


@dataclass(frozen=True, kw_only=True)
class Kava(Compression):
    """Keeps the tokens with the highest sum of the two terms, heads averaged."""

    needs_attention: ClassVar[bool] = True

    balance: float = 0.1
    """Lambda."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.balance <= 1:
            raise ConfigError(f"compression.balance is {self.balance} but must be in [0, 1].")

    def score(self, layer: Layer) -> Float[Tensor, "batch seq"]:
        """In [0, 1]."""
        assert layer.rotated_queries is not None
        assert layer.rotated_keys is not None
        queries, keys, mask = layer.rotated_queries, layer.rotated_keys, layer.tokens.mask
        answer = layer.tokens.answer & mask
        # The positions of each text's answer tokens, padded to the longest answer: a stable sort
        # keeps them in order and brings them to the front.
        count = answer.sum(dim=1)
        rows = answer.int().argsort(dim=1, descending=True, stable=True)[:, : int(count.max())]
        heads, group = keys.shape[1], queries.shape[1] // keys.shape[1]
        score = torch.zeros(mask.shape, device=mask.device)
        for b, h in iterate_blocks(*keys.shape[:3]):
            # Filled before any product: padding may hold NaN.
            k = keys[b, h].float().masked_fill(~mask[b, None, :, None], 0)
            q = queries[b, h.start * group : h.stop * group]
            attended = self.balance * score_answer_attention(q, k, rows[b], count[b], mask[b])
            distinct = (1 - self.balance) * score_distinctness(k, mask[b])
            score[b] += (attended + distinct).sum(dim=1) / heads
        return score


def score_answer_attention(
    queries: Float[Tensor, "batch query_heads seq dim"],
    keys: Float[Tensor, "batch heads seq dim"],
    rows: Int[Tensor, "batch answer_rows"],
    count: Int[Tensor, " batch"],
    mask: Bool[Tensor, "batch seq"],
) -> Float[Tensor, "batch heads seq"]:
    """Attention of the first `count` of `rows`, mean over them, max over the query group."""
    batch, heads, seq, dim = keys.shape
    query_heads = queries.shape[1]
    total = keys.new_zeros(batch, heads, query_heads // heads, seq)
    index = torch.arange(seq, device=keys.device)
    step = count_rows_that_fit(batch * query_heads, seq)
    for start in range(0, rows.shape[1], step):
        row = rows[:, start : start + step]
        q = queries.gather(2, row[:, None, :, None].expand(-1, query_heads, -1, dim)).float()
        hidden = (index > row[..., None]) | ~mask[:, None]
        # One expression: a name for the logits would hold them beside the weights.
        weights = (
            compute_gqa_logits(q, keys)
            .masked_fill(hidden[:, None, None], -torch.inf)
            .softmax(dim=-1)
        )
        # Rows beyond a text's own answer count for nothing; that also clears the NaN of a row
        # whose every key is hidden.
        beyond = torch.arange(start, start + row.shape[1], device=row.device) >= count[:, None]
        total += weights.masked_fill(beyond[:, None, None, :, None], 0).sum(dim=-2)
    return total.amax(dim=2) / count.clamp(min=1)[:, None, None]


def score_distinctness(
    keys: Float[Tensor, "batch heads seq dim"], mask: Bool[Tensor, "batch seq"]
) -> Float[Tensor, "batch heads seq"]:
    """Softmax over tokens of minus the mean cosine with the others; pads of `keys` are zero."""
    k = normalise_keys(keys)
    # The sum over others of k_i . k_j is k_i . (sum of all) less k_i . k_i: no seq x seq matrix.
    others = (k * k.sum(dim=2, keepdim=True)).sum(dim=-1) - k.square().sum(dim=-1)
    mean = others / mask.sum(dim=1)[:, None, None]
    return (-mean).masked_fill(~mask[:, None], -torch.inf).softmax(dim=-1)
