"""Keys of small norm are kept: they draw the most attention (arXiv 2406.11430)."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from kvdistill.compression.base import HeadCompression
from kvdistill.types import Layer


@dataclass(frozen=True, kw_only=True)
class Knorm(HeadCompression):
    """Keeps the tokens whose keys are shortest."""

    def score_heads(self, layer: Layer) -> Float[Tensor, "batch heads seq"]:
        """Minus the L2 norm of the key, which the rotary embedding does not change."""
        return -torch.linalg.vector_norm(layer.kv.keys, dim=-1, dtype=torch.float32)
