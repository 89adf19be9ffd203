"""Evenly spaced tokens are kept: a control that a scorer must beat to be worth its cost."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from kvdistill.compression.base import Compression
from kvdistill.types import Layer


@dataclass(frozen=True, kw_only=True)
class Uniform(Compression):
    """Keeps m of n tokens at equal distances, the last among them."""

    layer_independent: ClassVar[bool] = True

    def score(self, layer: Layer) -> Float[Tensor, "batch seq"]:
        """1 where the count of kept tokens, m / n a token, reaches the next whole number."""
        mask = layer.tokens.mask
        kept, real = self.compute_budget(mask)[:, None], mask.sum(dim=1, keepdim=True).clamp(min=1)
        index = torch.arange(mask.shape[1], device=mask.device)[None]
        # In integers: rounding would lose or double a token.
        return ((index + 1) * kept // real > index * kept // real).float()
