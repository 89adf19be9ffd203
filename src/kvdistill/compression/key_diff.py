"""KeyDiff: keys unlike the average key are kept (arXiv 2504.15364).

The whole text is scored at once, as after one prefill; the paper's block by block eviction is for a
cache that may never hold the whole text.
"""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from kvdistill.compression.base import HeadCompression
from kvdistill.compression.heads import fill_padding, get_rotated
from kvdistill.types import Layer


@dataclass(frozen=True, kw_only=True)
class KeyDiff(HeadCompression):
    """Keeps the tokens whose keys point elsewhere than most."""

    needs_attention: ClassVar[bool] = True

    def score_heads(self, layer: Layer) -> Float[Tensor, "batch heads seq"]:
        """Minus the cosine with the anchor, the mean of the text's keys, each of length 1."""
        _, keys = get_rotated(layer)
        mask = layer.tokens.mask
        keys = fill_padding(keys, mask)
        count = mask.sum(dim=1).clamp(min=1)[:, None, None, None]
        anchor = F.normalize(keys, dim=-1).sum(dim=2, keepdim=True) / count
        return -F.cosine_similarity(keys, anchor, dim=-1)
