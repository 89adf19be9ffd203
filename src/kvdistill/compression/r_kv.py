"""R-KV: keeps what the last tokens attend to, less what other keys repeat (arXiv 2505.24133).

As the authors' code (`rkv/utils.py`), which differs from the paper's text: the group's maximum is
taken on logits, importance is max-pooled over time, and of each key's near copies the last is not
counted against it (column 0 where there is none). Padding enters neither term.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import max_pool1d

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
class RKV(Compression):
    """Keeps the last `window` tokens and the best of the others, heads averaged."""

    needs_attention: ClassVar[bool] = True

    balance: float = 0.1
    """Lambda: score = lambda * importance - (1 - lambda) * redundancy."""
    window: int = 8
    kernel: int = 7
    threshold: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.balance <= 1:
            raise ConfigError(f"compression.balance is {self.balance} but must be in [0, 1].")
        if not 0 <= self.threshold <= 1:
            # A cosine with padding, or with itself, is 0: no such column may count as a copy.
            raise ConfigError(f"compression.threshold is {self.threshold} but must be in [0, 1].")
        if self.window < 1:
            raise ConfigError(f"compression.window is {self.window} but must be at least 1 token.")
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise ConfigError(f"compression.kernel is {self.kernel} but must be odd, as 7.")

    def score(self, layer: Layer) -> Float[Tensor, "batch seq"]:
        """In [-1, 1] before the window; above 1 and rising within it."""
        assert layer.rotated_queries is not None
        assert layer.rotated_keys is not None
        keys, mask = layer.rotated_keys, layer.tokens.mask
        real, index = mask.sum(dim=1, keepdim=True), torch.arange(mask.shape[1], device=mask.device)
        last = _gather_last_queries(layer.rotated_queries, real, self.window)
        before_window = index < real - self.window
        heads, group = keys.shape[1], last.shape[1] // keys.shape[1]
        score = torch.zeros(mask.shape, device=mask.device)
        for b, h in iterate_blocks(*keys.shape[:3]):
            # Filled before any product: padding may hold NaN.
            k = keys[b, h].float().masked_fill(~mask[b, None, :, None], 0)
            q = last[b, h.start * group : h.stop * group].float()
            attended = self.balance * score_window_attention(q, k, before_window[b], self.kernel)
            repeated = (1 - self.balance) * score_redundancy(k, mask[b], self.threshold)
            score[b] += (attended - repeated).sum(dim=1) / heads
        # Above every other score, so that the window is kept; rising, so that a budget below the
        # window keeps its end.
        return torch.where(before_window, score, 2 + index / len(index))


def _gather_last_queries(
    queries: Float[Tensor, "batch heads seq dim"], real: Int[Tensor, "batch 1"], window: int
) -> Float[Tensor, "batch heads window dim"]:
    """The queries of each text's last `window` real tokens; its first again if it has fewer."""
    at = (real - window + torch.arange(window, device=real.device)).clamp(min=0)
    shape = (-1, queries.shape[1], -1, queries.shape[3])
    return queries.gather(2, at[:, None, :, None].expand(shape))


def score_window_attention(
    queries: Float[Tensor, "batch query_heads window dim"],
    keys: Float[Tensor, "batch heads seq dim"],
    before_window: Bool[Tensor, "batch seq"],
    kernel: int,
) -> Float[Tensor, "batch heads seq"]:
    """Attention of the window's queries to the keys before it, pooled.

    The maximum over a group's query heads is taken on logits, then softmax, the mean over queries
    and the maximum over `kernel` neighbouring keys.
    """
    hidden = ~before_window[:, None, None]
    # Finite, so that a text no longer than the window, where every key is hidden, gives no NaN.
    scores = (
        compute_gqa_logits(queries, keys)
        .amax(dim=2)
        .masked_fill(hidden, torch.finfo(torch.float32).min)
    )
    weights = scores.softmax(dim=-1).mean(dim=2)
    return max_pool1d(weights, kernel, stride=1, padding=kernel // 2)


def score_redundancy(
    keys: Float[Tensor, "batch heads seq dim"], mask: Bool[Tensor, "batch seq"], threshold: float
) -> Float[Tensor, "batch heads seq"]:
    """Softmax over tokens of a key's mean cosine with the others. Keys are zero under the mask.

    Of the cosines in a row (one key against all) above `threshold`, the last is set to 0.
    """
    batch, heads, seq, _ = keys.shape
    k = normalise_keys(keys)
    total = keys.new_zeros(batch, heads, seq)
    index = torch.arange(seq, dtype=torch.int32, device=keys.device)
    step = count_rows_that_fit(batch * heads, seq)
    for start in range(0, seq, step):
        cosine = k[:, :, start : start + step] @ k.transpose(-1, -2)
        # A key's cosine with itself is no redundancy.
        cosine.diagonal(start, -2, -1).zero_()
        # The largest index above the threshold; 0 also where there is none, as in their code.
        copy = torch.where(cosine > threshold, index, 0).amax(dim=-1, keepdim=True)
        total += cosine.scatter_(-1, copy.long(), 0).sum(dim=-2)
    mean = total / mask.sum(dim=1)[:, None, None]
    return mean.masked_fill(~mask[:, None], -torch.inf).softmax(dim=-1)
