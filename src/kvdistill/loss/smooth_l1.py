"""Squared near zero, linear beyond: the gradient of an outlying element is bounded (Huber 1964).

KaVa's choice for its Llama students (arXiv 2510.02312).
"""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Bool, Float
from torch import Tensor, nn

from kvdistill.errors import ConfigError
from kvdistill.loss.base import Distance, average_elements, compute_residual


@dataclass(frozen=True, kw_only=True)
class SmoothL1(Distance):
    """Mean of r^2 / (2 beta) for |r| < beta, else |r| - beta / 2, of the scaled residual r."""

    weighs_tokens: ClassVar[bool] = True

    beta: float
    """Where the linear part begins, in standard deviations of the target."""

    def __post_init__(self) -> None:
        if not self.beta > 0:
            raise ConfigError(f"loss.distance.beta must be above 0, got {self.beta}. 1 is usual.")

    def __call__(
        self,
        own: Float[Tensor, "batch heads seq dim"],
        target: Float[Tensor, "batch heads seq dim"],
        mask: Bool[Tensor, "batch seq"],
        scale: Float[Tensor, ""],
        weights: Float[Tensor, "batch seq"] | None = None,
    ) -> Float[Tensor, " batch"]:
        residual = compute_residual(own, target, mask, scale)
        # Expanded, not allocated; without expand_as torch would warn of a broadcast.
        zero = residual.new_zeros(()).expand_as(residual)
        losses = nn.functional.smooth_l1_loss(residual, zero, reduction="none", beta=self.beta)
        return average_elements(losses, mask, weights)
