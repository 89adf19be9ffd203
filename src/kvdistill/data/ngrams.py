"""Which documents of two sets share an uncommon run of tokens: candidates, found in linear time.

Runs are hashed into 64 bits and joined by sorting, so memory is linear in the rows. A run that
many documents of a set hold is wording, not an item, and is dropped (decon's idea of weighing
n-grams by how rare they are, EVALUATION.md section 3).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Int, UInt64

from kvdistill.data.normalise import tokens

Pairs = Int[np.ndarray, "pairs 2"]
_BASE = np.uint64(0x9E3779B97F4A7C15)
_INVERSE = np.uint64(pow(int(_BASE), -1, 1 << 64))
LEAST_COMMON = 10
_CHUNK = 1 << 21
"""Pairs in memory at once."""


@dataclass
class Vocabulary:
    """Gives each token an id, in the order they are met; shared by the sets of one check."""

    ids: dict[str, int] = field(default_factory=dict)

    def encode(self, text: str) -> list[int]:
        """The ids of a text's tokens."""
        return [self.ids.setdefault(token, len(self.ids)) for token in tokens(text)]


class Index:
    """The token runs of one set of documents."""

    def __init__(self, texts: Sequence[str], vocabulary: Vocabulary) -> None:
        encoded = [np.array(vocabulary.encode(text), dtype=np.int64) for text in texts]
        self.lengths = np.array([len(ids) for ids in encoded], dtype=np.int64)
        """Tokens of each document."""
        self.starts = np.cumsum(self.lengths) - self.lengths
        self.flat = np.concatenate([*encoded, np.empty(0, dtype=np.int64)])
        self.common = max(LEAST_COMMON, len(texts) // 1000)
        """A run in more documents than this is wording."""
        # Sums of token * base^place give the hash of any run as a difference; base is odd, so
        # its inverse brings that difference to place 0.
        places = len(self.flat)
        self._sums = np.zeros(places + 1, dtype=np.uint64)
        np.cumsum(_scrambled(self.flat) * _powers(_BASE, places), out=self._sums[1:])
        self._shifts = _powers(_INVERSE, places)

    def document(self, index: int) -> Int[np.ndarray, " tokens"]:
        """One document's tokens."""
        start = self.starts[index]
        return self.flat[start : start + self.lengths[index]]

    def runs(
        self, n: int, wanted: Bool[np.ndarray, " documents"]
    ) -> tuple[UInt64[np.ndarray, " runs"], Int[np.ndarray, " runs"]]:
        """Hash and document of every distinct run of `n` tokens, sorted by hash, then document."""
        places, documents = self.places(n, wanted)
        hashes = self.hashed(n)[places]
        by_hash = np.argsort(hashes, kind="stable")
        hashes, documents = hashes[by_hash], documents[by_hash]
        first = np.ones(len(hashes), dtype=bool)
        first[1:] = (hashes[1:] != hashes[:-1]) | (documents[1:] != documents[:-1])
        return hashes[first], documents[first]

    def hashed(self, n: int) -> UInt64[np.ndarray, " positions"]:
        """The run of `n` tokens that begins at each position, across documents too."""
        count = max(0, len(self.flat) - n + 1)
        return (self._sums[n : n + count] - self._sums[:count]) * self._shifts[:count]

    def places(
        self, n: int, wanted: Bool[np.ndarray, " documents"]
    ) -> tuple[Int[np.ndarray, " runs"], Int[np.ndarray, " runs"]]:
        """Where each run of `n` tokens begins in `flat`, and in which document it lies."""
        counts = np.where(wanted, np.maximum(0, self.lengths - n + 1), 0)
        documents = np.repeat(np.arange(len(counts)), counts)
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        return self.starts[documents] + within, documents


def _scrambled(ids: Int[np.ndarray, " tokens"]) -> UInt64[np.ndarray, " tokens"]:
    """Splitmix64: neighbouring numbers become unrelated ones."""
    x = (ids.astype(np.uint64) + np.uint64(1)) * _BASE
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _powers(base: np.uint64, count: int) -> UInt64[np.ndarray, " places"]:
    powers = np.full(count, base, dtype=np.uint64)
    powers[:1] = 1
    return np.cumprod(powers, dtype=np.uint64)


def contained(small: Index, large: Index, wanted: Bool[np.ndarray, " documents"]) -> Pairs:
    """Pairs of a wanted document of `small` and one of `large` that holds all its tokens in a row.

    A text found in more than `common` documents is wording and gives no pair.
    """
    everywhere = np.ones(len(large.lengths), dtype=bool)
    pieces = [np.empty((0, 2), dtype=np.int64)]
    for n in np.unique(small.lengths[wanted]).tolist():
        items = np.flatnonzero(wanted & (small.lengths == n))
        hashes = small.hashed(n)[small.starts[items]]
        items, hashes = items[np.argsort(hashes)], np.sort(hashes)
        runs, documents = large.runs(n, everywhere)
        begin = np.searchsorted(runs, hashes, side="left")
        counts = np.searchsorted(runs, hashes, side="right") - begin
        counts = np.where(counts > large.common, 0, counts)
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        found = documents[np.repeat(begin, counts) + within]
        pieces.append(np.stack([np.repeat(items, counts), found], axis=1))
    return np.concatenate(pieces)


def sharing(
    one: Index,
    other: Index,
    n: int,
    left: Bool[np.ndarray, " documents"],
    right: Bool[np.ndarray, " others"],
) -> tuple[Pairs, Bool[np.ndarray, " documents"], Bool[np.ndarray, " others"]]:
    """Pairs of wanted documents that share an uncommon run of `n` tokens.

    With them, for each set, the documents that have any uncommon run: the others must be looked
    for whole. Given one index twice, each pair comes once, the earlier document first.
    """
    hashes, documents = one.runs(n, left)
    others_hashes, others = (hashes, documents) if other is one else other.runs(n, right)
    runs, starts, counts = np.unique(hashes, return_index=True, return_counts=True)
    others_runs, others_starts, others_counts = np.unique(
        others_hashes, return_index=True, return_counts=True
    )
    _, i, j = np.intersect1d(runs, others_runs, assume_unique=True, return_indices=True)
    rare = (counts[i] <= one.common) & (others_counts[j] <= other.common)
    left_part = documents, starts[i[rare]], counts[i[rare]]
    right_part = others, others_starts[j[rare]], others_counts[j[rare]]
    keys = np.empty(0, dtype=np.int64)
    for piece in _chunks(left_part[2] * right_part[2]):
        found = _products(left_part, right_part, piece, len(other.lengths))
        keys = np.union1d(keys, found)
    pairs = np.stack(np.divmod(keys, max(1, len(other.lengths))), axis=1)
    if other is one:
        pairs = pairs[pairs[:, 0] < pairs[:, 1]]
    return pairs, _uncommon(hashes, documents, one), _uncommon(others_hashes, others, other)


def _chunks(sizes: Int[np.ndarray, " runs"]) -> Iterator[slice]:
    """Slices of the runs, each of about `_CHUNK` pairs."""
    ends = np.searchsorted(np.cumsum(sizes), np.arange(_CHUNK, sizes.sum() + _CHUNK, _CHUNK)) + 1
    start = 0
    for end in ends.tolist():
        yield slice(start, end)
        start = end


def _products(
    left: tuple[np.ndarray, np.ndarray, np.ndarray],
    right: tuple[np.ndarray, np.ndarray, np.ndarray],
    piece: slice,
    width: int,
) -> Int[np.ndarray, " pairs"]:
    """Every document of `left` with every one of `right` that holds the same run, as one number.

    Each side is (documents sorted by run, where each run's documents start, how many there are).
    """
    counts, others = left[2][piece], right[2][piece]
    sizes = counts * others
    run = np.repeat(np.arange(len(sizes)), sizes)
    within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    first = left[0][left[1][piece][run] + within // others[run]]
    second = right[0][right[1][piece][run] + within % others[run]]
    return np.unique(first * width + second)


def _uncommon(
    hashes: UInt64[np.ndarray, " runs"], documents: Int[np.ndarray, " runs"], index: Index
) -> Bool[np.ndarray, " documents"]:
    _, inverse, counts = np.unique(hashes, return_inverse=True, return_counts=True)
    found = np.zeros(len(index.lengths), dtype=bool)
    found[documents[counts[inverse] <= index.common]] = True
    return found
