"""Expected attention: what queries to come would attend to, times the value's norm.

Queries before the rotary embedding are taken as normal, with the mean and covariance of the text's
own; turned by the mean rotation R of the next `future` positions they give a key the logarithm of
its expected score, k.R mu / sqrt(d) + k.R C R^T k / 2d, softmaxed over keys (arXiv 2510.00636). As
its authors' code (NVIDIA/kvpress) has it, the first `sinks` tokens enter neither statistics nor
softmax and are kept, and weights are averaged over the query heads of a KV head.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from kvdistill.compression.base import HeadCompression
from kvdistill.compression.heads import fill_padding, get_rotated, iterate_groups
from kvdistill.errors import ConfigError
from kvdistill.types import Layer


@dataclass(frozen=True, kw_only=True)
class ExpectedAttention(HeadCompression):
    """Keeps the `sinks` first tokens and those of the highest expected contribution."""

    needs_attention: ClassVar[bool] = True

    future: int = 512
    sinks: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.future < 1:
            raise ConfigError(
                f"compression.future is {self.future} but must be 1 position or more."
            )
        if self.sinks < 0:
            raise ConfigError(f"compression.sinks is {self.sinks} but must be 0 tokens or more.")

    def score_heads(self, layer: Layer) -> Float[Tensor, "batch heads seq"]:
        """Expected weight times the norm of the value; sinks lie above it."""
        assert layer.rotary is not None
        _, keys = get_rotated(layer)
        mask, queries, values = layer.tokens.mask, layer.complete_queries(), layer.kv.values
        index = torch.arange(mask.shape[1], device=mask.device)
        counted = mask & (index >= self.sinks)
        ahead = mask.sum(dim=1, keepdim=True) + torch.arange(self.future, device=mask.device)
        scores = torch.zeros(keys.shape[:3], device=mask.device)
        # A head's queries, or its keys once for each of them, are the largest temporary.
        width = queries.shape[1] // keys.shape[1] * keys.shape[3]
        for b, h, q, k in iterate_groups(queries, keys, mask, width):
            # R turns queries ahead; its transpose turns keys back: k.R mu = R^T k.mu.
            turned = layer.rotary.rotate_by_mean(k, -ahead[b])
            q_counted = fill_padding(q, counted[b])
            weights = compute_expected_weights(q_counted, turned, counted[b]).mean(dim=2)
            norm = fill_padding(values[b, h], mask[b]).norm(dim=-1)
            scores[b, h] = (weights * norm).masked_fill(~counted[b, None], 0)
        above = scores.amax(dim=2, keepdim=True) + 1 + (self.sinks - index) / len(index)
        return torch.where(index < self.sinks, above, scores)


def compute_expected_weights(
    queries: Float[Tensor, "batch query_heads seq dim"],
    keys: Float[Tensor, "batch heads seq dim"],
    counted: Bool[Tensor, "batch seq"],
) -> Float[Tensor, "batch heads group seq"]:
    """Softmax over the counted keys of the expected logit; both sides before the rotary embedding.

    Queries are zero where not counted.
    """
    count = counted.sum(dim=1).clamp(min=1)[:, None, None, None]
    mean = queries.sum(dim=2, keepdim=True) / count
    centred = fill_padding(queries - mean, counted)
    covariance = (centred.mT @ centred / count).unflatten(1, (keys.shape[1], -1))
    dim, k = keys.shape[-1], keys[:, :, None]
    linear = (mean.unflatten(1, (keys.shape[1], -1)) @ k.mT).squeeze(-2) / dim**0.5
    quadratic = ((k @ covariance) * k).sum(dim=-1) / (2 * dim)
    # Finite, so that a text of sinks alone gives no NaN.
    hidden = ~counted[:, None, None]
    return (linear + quadratic).masked_fill(hidden, torch.finfo(torch.float32).min).softmax(dim=-1)
