"""Rows of K and V in fewer bits, and back: what a store's shard holds.

In float32 rows are what the teacher gave. In bfloat16 and int8 the mean of each column is taken
away first, since keys carry a constant hundreds of times their standard deviation. Means and int8's
scales are those of the shard's own rows: no second pass over the teacher, and no value lies beyond
the scale, so that an error is never more than half of one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "int8": torch.int8}
INT8_LEVELS = 127


@dataclass(frozen=True)
class QuantisedRows:
    """Rows as they are stored, with what dequantises them; rows of float32 have neither."""

    rows: Tensor
    mean: Float[Tensor, " columns"] | None = None
    scale: Float[Tensor, " columns"] | None = None

    @classmethod
    def quantise(cls, rows: Float[Tensor, "kept columns"], dtype: str) -> "QuantisedRows":
        """The rows in this dtype, one of `DTYPES`. See `bound_error` for what is lost."""
        rows = rows.float()
        if dtype == "float32":
            return cls(rows)
        mean = rows.double().mean(dim=0).float()
        centred = rows - mean
        if dtype == "bfloat16":
            return cls(centred.bfloat16(), mean)
        scale = centred.abs().amax(dim=0) / INT8_LEVELS
        # A column that does not vary would be divided by 0; its rows are 0 at any scale.
        scale = scale.clamp(min=torch.finfo(torch.float32).tiny)
        levels = (centred / scale).round().clamp(-INT8_LEVELS, INT8_LEVELS)
        return cls(levels.to(torch.int8), mean, scale)

    def dequantise(self, out: Float[Tensor, "some columns"]) -> None:
        """Writes the rows in float32 to `out`, on whichever device both are."""
        if self.scale is not None:
            torch.mul(self.rows, self.scale, out=out)
        else:
            out.copy_(self.rows)
        if self.mean is not None:
            out.add_(self.mean)

    def bound_error(self, out: Float[Tensor, "some columns"]) -> None:
        """Writes to `out` how far each number may be from the teacher's, by rounding.

        Half a scale for int8; for bfloat16 half a unit in the last of its 8 bits, of the centred
        value; and for both what float32 rounds where the mean is taken away and put back.
        """
        if self.mean is None:
            out.zero_()
            return
        size = self.rows.float().abs()
        centred = size if self.scale is None else size * self.scale
        step = 2.0**-7 * centred if self.scale is None else self.scale
        out.copy_(step / 2 + 2.0**-22 * (centred + self.mean.abs()))


def dequantise_parts(parts: Sequence[QuantisedRows]) -> Float[Tensor, "rows columns"]:
    """The rows of all parts in float32, one part after the other."""
    shape = sum(len(part.rows) for part in parts), parts[0].rows.shape[1]
    flat_kv = torch.empty(shape, device=parts[0].rows.device)
    first = 0
    for part in parts:
        # Each in its place: joined afterwards, a batch would be there twice.
        part.dequantise(flat_kv[first : first + len(part.rows)])
        first += len(part.rows)
    return flat_kv
