"""The first tokens are kept: the crop that KaVa is compared with. See keep_last for the other."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from kvdistill.compression.base import Compression
from kvdistill.types import Layer


@dataclass(frozen=True, kw_only=True)
class KeepFirst(Compression):
    """Keeps the beginning of the text."""

    layer_independent: ClassVar[bool] = True

    def score(self, layer: Layer) -> Float[Tensor, "batch seq"]:
        """Minus the position."""
        mask = layer.tokens.mask
        return -torch.arange(mask.shape[1], device=mask.device).expand(mask.shape).float()
