"""Relations between tokens instead of their coordinates: the Gram matrices are compared.

Blind to any rotation of the student's space. Source: relational distillation; arXiv 2509.25253
prefers Gram and Procrustes measures, because MSE can vanish without matching structure.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from kvdistill.loss.base import Distance


@dataclass(frozen=True, kw_only=True)
class Gram(Distance):
    """Mean over pairs of valid tokens of ((<x_i, x_j> - <y_i, y_j>) / (width scale^2))^2.

    x are the student's tokens over all heads, y the target's, width is heads * dim. With weights a
    pair counts by the product of its tokens'.
    """

    weighs_tokens: ClassVar[bool] = True

    def __call__(
        self,
        own: Float[Tensor, "batch heads seq dim"],
        target: Float[Tensor, "batch heads seq dim"],
        mask: Bool[Tensor, "batch seq"],
        scale: Float[Tensor, ""],
        weights: Float[Tensor, "batch seq"] | None = None,
    ) -> Float[Tensor, " batch"]:
        # Autocast would multiply in half precision, and float16 ends at 65504.
        with torch.autocast(own.device.type, enabled=False):
            x, y = (_scale_rows(part, mask, scale) for part in (own, target))
            if weights is not None:
                # sqrt(w_i) sqrt(w_j) before the square is w_i w_j after it.
                roots = weights.masked_fill(~mask, 0).sqrt()[..., None]
                x, y = x * roots, y * roots
            # X X^T - Y Y^T = (D P^T + P D^T) / 2 for D = X - Y, P = X + Y. Its squared norm needs
            # only width x width products, never tokens x tokens, and is exactly 0 where D is.
            d, p = x - y, x + y
            dd, pp = _multiply_across_tokens(d, d), _multiply_across_tokens(p, p)
            pd = _multiply_across_tokens(p, d)
            squared_norm = ((dd * pp).sum(dim=(1, 2)) + (pd * pd.mT).sum(dim=(1, 2))) / 2
        if weights is None:
            return squared_norm / mask.sum(dim=1).clamp(min=1).square()
        pairs = weights.masked_fill(~mask, 0).sum(dim=1).square()
        return squared_norm / pairs.clamp(min=torch.finfo(pairs.dtype).tiny)


def _scale_rows(
    x: Float[Tensor, "batch heads seq dim"],
    mask: Bool[Tensor, "batch seq"],
    scale: Float[Tensor, ""],
) -> Float[Tensor, "batch seq width"]:
    """Tokens over all heads, scaled so that a product of two is a mean over the width.

    Tokens under the mask are zero, and so is every product with them.
    """
    rows = x.float().masked_fill(~mask[:, None, :, None], 0).transpose(1, 2).flatten(2)
    return rows / (scale * rows.shape[2] ** 0.5)


def _multiply_across_tokens(
    a: Float[Tensor, "batch seq width"], b: Float[Tensor, "batch seq width"]
) -> Float[Tensor, "batch width width"]:
    return a.mT @ b
