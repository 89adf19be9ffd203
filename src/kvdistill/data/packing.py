"""Several texts in one row: which texts share one, and where their tokens lie.

A model then computes next to no padding. Which texts a step reads, and which of them a micro-batch
holds, stays as it is without: only the rows of one micro-batch are laid out otherwise.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from kvdistill.types import PackedRows, Tokens

LEAST_REAL = 0.95
"""Share of a batch's computed tokens that are a text's own, where several rows are made."""


@dataclass(frozen=True)
class Packing:
    """How the texts of a micro-batch share rows."""

    one_row: bool = False
    """All in one, without any padding. For kernels that compute each text's own square alone
    (FlashAttention); others compute a row's whole square, so short rows are cheaper there."""

    def divide_into_rows(self, lengths: Sequence[int]) -> list[list[int]]:
        """The texts of each row, in order of their number.

        As many rows as keep LEAST_REAL of the tokens real: a row's attention grows with the square
        of its width.
        """
        if self.one_row:
            return [list(range(len(lengths)))]
        # No row is narrower than the longest text, which bounds how many there can be.
        most = int(sum(lengths) / (LEAST_REAL * max(lengths)))
        descending = sorted(lengths, reverse=True)
        for count in range(min(max(most, 1), len(lengths)), 1, -1):
            if sum(lengths) >= LEAST_REAL * count * balance_width(descending, count):
                return balance_rows(lengths, count)
        return [list(range(len(lengths)))]

    def pack_tokens(self, tokens: Tokens, pad_id: int) -> Tokens:
        """The same batch, with the rows that a model computes."""
        lengths = tokens.mask.sum(dim=1).tolist()
        rows = self.divide_into_rows(lengths)
        width = compute_width(lengths, rows)
        ids = np.full((len(rows), width), pad_id, dtype=np.int64)
        positions, first = np.zeros_like(ids), np.zeros(len(lengths), dtype=np.int64)
        texts = tokens.ids.numpy()
        for number, row in enumerate(rows):
            at = 0
            for text in row:
                stop = at + lengths[text]
                ids[number, at:stop] = texts[text, : lengths[text]]
                positions[number, at:stop] = np.arange(lengths[text])
                first[text], at = number * width + at, stop
            positions[number, at:] = np.arange(width - at)
        # Padding reads its own text again, from the start: spread out, since the gradients that
        # come back to one place are added one by one on a GPU, though all of these are 0.
        within = np.arange(tokens.ids.shape[1]) % np.maximum(lengths, 1)[:, None]
        # A text without a token may begin where the last row ends.
        places = torch.from_numpy(np.minimum(first[:, None] + within, ids.size - 1))
        packed = PackedRows(torch.from_numpy(ids), torch.from_numpy(positions), places)
        return replace(tokens, packed=packed)


def balance_rows(lengths: Sequence[int], count: int) -> list[list[int]]:
    """The texts over `count` rows of nearly equal width: the longest first, into the shortest row.

    At most 4/3 of the best width (Graham 1969, doi.org/10.1137/0117039).
    """
    rows: list[list[int]] = [[] for _ in range(count)]
    heap = [(0, number) for number in range(count)]
    for text in sorted(range(len(lengths)), key=lambda text: (-lengths[text], text)):
        width, number = heapq.heappop(heap)
        rows[number].append(text)
        heapq.heappush(heap, (width + lengths[text], number))
    return [sorted(row) for row in rows]


def balance_width(descending: Sequence[int], count: int) -> int:
    """The widest of the rows that `balance_rows` makes of texts so long, without making them."""
    widths = [0] * count
    for length in descending:
        heapq.heapreplace(widths, widths[0] + length)
    return max(widths)


def compute_width(lengths: Sequence[int], rows: Sequence[Sequence[int]]) -> int:
    """Tokens of the widest row; `rows` hold numbers of texts, whose tokens `lengths` are."""
    return max(sum(lengths[text] for text in row) for row in rows)


def compute_real_share(batches: Sequence[Sequence[int]], packing: Packing | None) -> float:
    """Share of the tokens that a model computes which are a text's own; `batches` hold lengths."""
    real = computed = 0
    for lengths in batches:
        rows = [[text] for text in range(len(lengths))]
        if packing is not None:
            rows = packing.divide_into_rows(lengths)
        width = compute_width(lengths, rows)
        real, computed = real + sum(lengths), computed + width * len(rows)
    return real / computed
