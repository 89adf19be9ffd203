"""The student tokens that some teacher covers: only they are compared, so only they are computed.

Half a text is padding or a token whose teacher tokens were compressed away; K and V of the others
are moved together before they are projected, fused and compared.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from kvdistill.types import KV, Batch, Links


@dataclass(frozen=True)
class CoveredTokens:
    """The covered student tokens of a batch, in order; padded to the text that has most of them."""

    positions: Int[Tensor, "batch some"]
    """Position of each in its text; 0 in the padding."""
    mask: Bool[Tensor, "batch some"]
    """False in the padding."""

    @classmethod
    def from_links(cls, links: Sequence[Links]) -> "CoveredTokens":
        """The tokens that any teacher's links cover."""
        mask = torch.stack([each.mask for each in links]).any(dim=0)
        counts = mask.sum(dim=1)
        # At least one column, so that a batch without covered tokens has its shapes too.
        longest = max(int(counts.max()), 1)
        is_token = torch.arange(longest, device=mask.device) < counts[:, None]
        # A stable sort brings the covered tokens to the front, in order.
        order = mask.int().argsort(dim=1, descending=True, stable=True)
        positions = order[:, :longest].masked_fill(~is_token, 0)
        return cls(positions, is_token)

    def select_links(self, links: Links) -> Links:
        """The links of these tokens."""
        return links.select_tokens(self.positions, self.mask)

    def gather_weights(self, weights: Float[Tensor, "batch seq"]) -> Float[Tensor, "batch some"]:
        """The weights of these tokens; 0 in the padding."""
        return weights.gather(1, self.positions).masked_fill(~self.mask, 0)

    def gather_kv(self, kv: KV) -> KV:
        """The student's K and V of these tokens; the gradient goes back to where they were."""
        texts = torch.arange(len(self.positions), device=self.positions.device)[:, None]
        rows = (self.positions + texts * kv.mask.shape[1]).flatten()
        keys, values = (self.gather_tokens(x, rows) for x in (kv.keys, kv.values))
        # Padding reads token 0 of its text, so its mask must be cleared here.
        mask = kv.mask.flatten()[rows].view_as(self.mask) & self.mask
        return replace(kv, keys=keys, values=values, mask=mask)

    def gather_tokens(
        self, x: Float[Tensor, "batch heads seq dim"], rows: Int[Tensor, " tokens"]
    ) -> Float[Tensor, "batch heads some dim"]:
        """Reads `rows` of the flattened (batch * seq) tokens."""
        _, heads, _, dim = x.shape
        # Heads side by side: one index_select moves whole tokens, and its backward adds whole rows.
        tokens = x.transpose(1, 2).flatten(2).flatten(0, 1).index_select(0, rows)
        return tokens.view(*self.positions.shape, heads, dim).transpose(1, 2)


def leave_out_tokens(batch: Batch, weights: Float[Tensor, "batch seq"] | None) -> Batch:
    """The batch in which no teacher covers a student token of weight 0; None leaves all."""
    if weights is None:
        return batch
    teachers = {
        name: replace(reading, links=reading.links.keep_tokens(weights > 0))
        for name, reading in batch.teachers.items()
    }
    return replace(batch, teachers=teachers)
