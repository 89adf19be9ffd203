"""Every real token of the teacher is kept: no compression."""

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from kvdistill.compression.base import Compression
from kvdistill.types import Layer


@dataclass(frozen=True, kw_only=True)
class Full(Compression):
    """Keeps all."""

    layer_independent: ClassVar[bool] = True

    # No key of the YAML: a budget of less than all would contradict the name.
    keep: float = field(default=1.0, init=False)

    def score(self, layer: Layer) -> Float[Tensor, "batch seq"]:
        """Zero: `keep` is 1, so every token is within the budget."""
        return torch.zeros_like(layer.tokens.mask, dtype=torch.float32)
