"""How far the student's keys or values are from their target."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from kvdistill.types import KV


@dataclass(frozen=True, kw_only=True)
class Distance(ABC):
    """Compares keys with keys, or values with values, of one layer."""

    weighs_tokens: ClassVar[bool] = False
    """Whether it takes `weights` as a fifth argument: only then are tokens weighed for it.

    Float[Tensor, "batch seq"] or None: how much each token counts in its sample's mean.
    """

    @abstractmethod
    def __call__(
        self,
        own: Float[Tensor, "batch heads seq dim"],
        target: Float[Tensor, "batch heads seq dim"],
        mask: Bool[Tensor, "batch seq"],
        scale: Float[Tensor, ""],
    ) -> Float[Tensor, " batch"]:
        """Mean over the valid elements of each sample, 0 for a sample with none; float32.

        `scale` is the target's calibrated standard deviation in this layer: residuals are
        divided by it. What lies under the mask must not change the result or its gradient.
        """


def measure_heads(
    distance: Distance,
    own: Float[Tensor, "batch heads seq dim"],
    target: Float[Tensor, "batch heads seq dim"],
    kv: KV,
    scale: Float[Tensor, ""],
) -> Float[Tensor, " batch"]:
    """The distance at the tokens that `kv`, whose keys or values `target` are, holds.

    Where heads hold tokens of their own each is compared as a sample of one head, and a sample's
    heads are averaged by their tokens, or by these tokens' weights where `kv` has such.
    """
    weights = kv.token_weights
    if kv.head_mask is None:
        return distance(own, target, kv.mask, scale, *_list_present(weights))
    held = kv.held
    if weights is not None:
        # Each head is a sample with the weights of its text's tokens.
        weights = weights[:, None].expand(held.shape)
    apart = distance(
        own.flatten(0, 1)[:, None], target.flatten(0, 1)[:, None], held.flatten(0, 1), scale,
        *_list_present(None if weights is None else weights.flatten(0, 1)),
    )  # fmt: skip
    tokens = held.sum(dim=2) if weights is None else (weights * held).sum(dim=2)
    # A sample without any token has a sum of 0 over it, not NaN.
    total = tokens.sum(dim=1).clamp(min=1 if weights is None else _LEAST)
    return (apart.view_as(tokens) * tokens).sum(dim=1) / total


def _list_present(weights: Tensor | None) -> list[Tensor]:
    # A distance that weighs no tokens has no argument for them.
    return [] if weights is None else [weights]


def compute_residual(
    own: Float[Tensor, "batch heads seq dim"],
    target: Float[Tensor, "batch heads seq dim"],
    mask: Bool[Tensor, "batch seq"],
    scale: Float[Tensor, ""],
) -> Float[Tensor, "batch heads seq dim"]:
    """(own - target) / scale in float32, zero under the mask whatever lies there."""
    # Filled after the subtraction, whose gradient does not depend on its inputs: NaN stays out.
    return (own.float() - target.float()).masked_fill(~mask[:, None, :, None], 0) / scale


def average_elements(
    x: Float[Tensor, "batch heads seq dim"],
    mask: Bool[Tensor, "batch seq"],
    weights: Float[Tensor, "batch seq"] | None = None,
) -> Float[Tensor, " batch"]:
    """Mean over the valid elements of each sample, of an x that is zero under the mask.

    With `weights` a token's elements count by its own: sum_t w_t x_t / sum_t w_t.
    """
    if weights is None:
        # At least 1: a sample with no valid token has a mean of 0, not NaN.
        tokens = mask.sum(dim=1).clamp(min=1)
        return x.sum(dim=(1, 2, 3)) / (tokens * x.shape[1] * x.shape[3])
    weights = weights.masked_fill(~mask, 0)
    total = weights.sum(dim=1).clamp(min=_LEAST)
    sums = (x.sum(dim=(1, 3)) * weights).sum(dim=1)
    return sums / (total * x.shape[1] * x.shape[3])


_LEAST = torch.finfo(torch.float32).tiny
"""Of a sum of weights that is divided by."""
