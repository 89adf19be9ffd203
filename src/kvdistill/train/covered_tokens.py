"""The student tokens that some teacher covers: only they are compared, so only they are computed.

Half a text is padding or a token whose teacher tokens were compressed away; K and V of the others
are moved together before they are projected, fused and held against each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from kvdistill.types import KV, Links


@dataclass(frozen=True)
class Covered:
    """Student tokens of a batch, moved to the front of their text."""

    at: Int[Tensor, "batch some"]
    """Position of each in its text; 0 where a text has fewer."""
    mask: Bool[Tensor, "batch some"]

    @classmethod
    def by(cls, links: Sequence[Links]) -> "Covered":
        """What any of the links reaches."""
        mask = torch.stack([each.mask for each in links]).any(dim=0)
        counts = mask.sum(dim=1)
        some = max(int(counts.max()), 1)
        real = torch.arange(some, device=mask.device) < counts[:, None]
        at = torch.zeros_like(real, dtype=torch.long)
        at[real] = mask.nonzero()[:, 1]
        return cls(at, real)

    def links(self, links: Links) -> Links:
        """The links of these tokens."""
        return links.select_tokens(self.at, self.mask)

    def own(self, kv: KV) -> KV:
        """The student's K and V of these tokens; the gradient goes back to where they were."""
        start = torch.arange(len(self.at), device=self.at.device)[:, None] * kv.mask.shape[1]
        rows = (self.at + start).flatten()
        keys, values = (self.moved(x, rows) for x in (kv.keys, kv.values))
        return KV(keys, values, kv.mask.flatten()[rows].view_as(self.mask) & self.mask)

    def moved(
        self, x: Float[Tensor, "batch heads seq dim"], rows: Int[Tensor, " tokens"]
    ) -> Float[Tensor, "batch heads some dim"]:
        """Whole tokens are moved, all heads of each at once."""
        _, heads, _, dim = x.shape
        tokens = x.transpose(1, 2).flatten(2).flatten(0, 1).index_select(0, rows)
        return tokens.view(*self.at.shape, heads, dim).transpose(1, 2)
