"""How far the student's keys or values are from their target."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Tensor

from kvdistill.types import KV


@dataclass(frozen=True, kw_only=True)
class Distance(ABC):
    """Compares keys with keys, or values with values, of one layer."""

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
    heads are averaged by their tokens.
    """
    if kv.head_mask is None:
        return distance(own, target, kv.mask, scale)
    held = kv.held
    apart = distance(
        own.flatten(0, 1)[:, None], target.flatten(0, 1)[:, None], held.flatten(0, 1), scale
    )
    tokens = held.sum(dim=2)
    return (apart.view_as(tokens) * tokens).sum(dim=1) / tokens.sum(dim=1).clamp(min=1)


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
    x: Float[Tensor, "batch heads seq dim"], mask: Bool[Tensor, "batch seq"]
) -> Float[Tensor, " batch"]:
    """Mean over the valid elements of each sample, of an x that is zero under the mask."""
    # At least 1: a sample with no valid token has a mean of 0, not NaN.
    tokens = mask.sum(dim=1).clamp(min=1)
    return x.sum(dim=(1, 2, 3)) / (tokens * x.shape[1] * x.shape[3])
