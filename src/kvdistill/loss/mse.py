"""Squared residual over the target's variance: one minus the share of it that is reproduced."""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Bool, Float
from torch import Tensor

from kvdistill.loss.base import Distance, average_elements, compute_residual


@dataclass(frozen=True, kw_only=True)
class MSE(Distance):
    """Mean of ((own - target) / scale)^2."""

    weighs_tokens: ClassVar[bool] = True

    def __call__(
        self,
        own: Float[Tensor, "batch heads seq dim"],
        target: Float[Tensor, "batch heads seq dim"],
        mask: Bool[Tensor, "batch seq"],
        scale: Float[Tensor, ""],
        weights: Float[Tensor, "batch seq"] | None = None,
    ) -> Float[Tensor, " batch"]:
        squares = compute_residual(own, target, mask, scale).square()
        return average_elements(squares, mask, weights)
