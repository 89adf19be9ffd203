"""Tokens drawn at random are kept: in KaVa's reproduction R-KV was no better than this control.

The draw is a hash of seed, text and position, not of a generator's state, so that a text keeps the
same tokens in any batch, on any rank and after a resume.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from kvdistill.compression.base import Compression
from kvdistill.types import Layer


@dataclass(frozen=True, kw_only=True)
class Random(Compression):
    """Keeps a draw without replacement, the same at every layer."""

    layer_independent: ClassVar[bool] = True

    seed: int = 0

    def score(self, layer: Layer) -> Float[Tensor, "batch seq"]:
        """Uniform in [0, 1)."""
        ids, mask = layer.tokens.ids.long(), layer.tokens.mask
        index = torch.arange(mask.shape[1], device=mask.device)
        # int64 products wrap around; a sum over the text makes padding, which is 0, count nothing.
        text = (_scramble_bits(ids * 65_537 + index) * mask).sum(dim=1, keepdim=True)
        drawn = _scramble_bits(_scramble_bits(text + self.seed) + index)
        # 24 bits: as many as float32 holds exactly.
        return (drawn >> 40 & 0xFFFFFF).float() / 2**24


def _scramble_bits(x: Tensor) -> Tensor:
    """Scrambles 64 bits: the finaliser of SplitMix64, with the wrap-around of int64."""
    # Each shift of int64 copies the sign downwards: the masks make it the unsigned shift.
    x = x * -7046029254386353131
    x = (x ^ (x >> 30 & 0x3FFFFFFFF)) * -4658895280553007687
    x = (x ^ (x >> 27 & 0x1FFFFFFFFF)) * -7723592293110705685
    return x ^ (x >> 31 & 0x1FFFFFFFF)
