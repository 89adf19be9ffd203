"""R-KV: keeps what the last tokens attend to, less what other keys repeat (arXiv 2505.24133).

As the authors' code (`rkv/utils.py`), which differs from the paper's text: the group's maximum is
taken on logits, importance is max-pooled over time, and of each key's near copies the last is not
counted against it (column 0 where there is none). Padding enters neither term.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import max_pool1d

from kvdistill.compression.base import HeadCompression
from kvdistill.compression.heads import (
    check_kernel,
    check_window,
    compute_gqa_logits,
    count_rows_that_fit,
    get_max_elements,
    get_rotated,
    iterate_groups,
    keep_window,
    list_last_rows,
    normalise_keys,
)
from kvdistill.errors import ConfigError
from kvdistill.types import Layer


@dataclass(frozen=True, kw_only=True)
class RKV(HeadCompression):
    """Keeps the last `window` tokens and the best of the others."""

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
        check_window(self.window)
        check_kernel(self.kernel)

    def score_heads(self, layer: Layer) -> Float[Tensor, "batch heads seq"]:
        """In [-1, 1] before the window; above 1 and rising within it."""
        queries, keys = get_rotated(layer)
        mask = layer.tokens.mask
        rows = list_last_rows(mask, self.window)[:, None, :, None]
        last = queries.gather(2, rows.expand(-1, queries.shape[1], -1, queries.shape[3]))
        index = torch.arange(mask.shape[1], device=mask.device)
        before_window = index < mask.sum(dim=1, keepdim=True) - self.window
        scores = torch.zeros(keys.shape[:3], device=mask.device)
        for b, h, q, k in iterate_groups(last.float(), keys, mask):
            attended = self.balance * score_window_attention(q, k, before_window[b], self.kernel)
            repeated = (1 - self.balance) * score_redundancy(k, mask[b], self.threshold)
            scores[b, h] = attended - repeated
        return keep_window(scores, mask, self.window)


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
    step = count_rows_that_fit(batch * heads, seq, get_max_elements(keys.device))
    for start in range(0, seq, step):
        cosine = k[:, :, start : start + step] @ k.transpose(-1, -2)
        # A key's cosine with itself is no redundancy.
        cosine.diagonal(start, -2, -1).zero_()
        # The largest index above the threshold; 0 also where there is none, as in their code.
        copy = torch.where(cosine > threshold, index, 0).amax(dim=-1, keepdim=True)
        total += cosine.scatter_(-1, copy.long(), 0).sum(dim=-2)
    mean = total / mask.sum(dim=1)[:, None, None]
    return mean.masked_fill(~mask[:, None], -torch.inf).softmax(dim=-1)
