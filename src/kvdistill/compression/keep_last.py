"""The last tokens are kept: the study's right-crop. KaVa's crop keeps the first; see keep_first."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from kvdistill.compression.base import Compression
from kvdistill.types import Layer


@dataclass(frozen=True, kw_only=True)
class KeepLast(Compression):
    """Keeps the end of the text."""

    layer_independent: ClassVar[bool] = True

    def score(self, layer: Layer) -> Float[Tensor, "batch seq"]:
        """The position."""
        mask = layer.tokens.mask
        return torch.arange(mask.shape[1], device=mask.device).expand(mask.shape).float()
