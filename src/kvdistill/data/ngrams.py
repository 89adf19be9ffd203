"""Which documents of two sets share an uncommon run of tokens: candidates, found in linear time.

Runs are hashed into 64 bits and joined by sorting, so memory is linear in the rows. A run that
many documents of a set hold is wording, not an item, and is dropped (decon's idea of weighing
n-grams by how rare they are, EVALUATION.md section 3).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Int, UInt64
from scipy import sparse

from kvdistill.data.normalise import split_ngram_tokens

Pairs = Int[np.ndarray, "pairs 2"]
_BASE = np.uint64(0x9E3779B97F4A7C15)
_INVERSE = np.uint64(pow(int(_BASE), -1, 1 << 64))
MIN_COMMON_DOCUMENTS = 10
PHRASE_TOKENS = 13
"""Tokens from which a text that many hold is copied many times, and no stock phrase."""
_PAIRS_PER_CHUNK = 1 << 21
"""Pairs in memory at once, before the same pair is met again."""
_PAIRS_PER_PRODUCT = 20_000
"""Pairs compared at once."""


@dataclass
class Vocabulary:
    """Gives each token an id, in the order they are met; shared by the sets of one check."""

    ids: dict[str, int] = field(default_factory=dict)

    def encode(self, text: str) -> list[int]:
        """The ids of a text's tokens."""
        return [self.ids.setdefault(token, len(self.ids)) for token in split_ngram_tokens(text)]


class NgramIndex:
    """The token runs of one set of documents."""

    def __init__(self, texts: Sequence[str], vocabulary: Vocabulary) -> None:
        encoded = [np.array(vocabulary.encode(text), dtype=np.int64) for text in texts]
        self.lengths = np.array([len(ids) for ids in encoded], dtype=np.int64)
        """Tokens of each document."""
        self.starts = np.cumsum(self.lengths) - self.lengths
        self.flat = np.concatenate([*encoded, np.empty(0, dtype=np.int64)])
        self.common_above = max(MIN_COMMON_DOCUMENTS, len(texts) // 1000)
        """A run in more documents than this is wording."""
        # Sums of token * base^place give the hash of any run as a difference; base is odd, so
        # its inverse brings that difference to place 0.
        count = len(self.flat)
        self._prefix_sums = np.zeros(count + 1, dtype=np.uint64)
        np.cumsum(_mix_ids(self.flat) * _compute_powers(_BASE, count), out=self._prefix_sums[1:])
        self._inverse_powers = _compute_powers(_INVERSE, count)

    def get_tokens(self, index: int) -> Int[np.ndarray, " split_ngram_tokens"]:
        """One document's tokens."""
        start = self.starts[index]
        return self.flat[start : start + self.lengths[index]]

    def list_ngrams(
        self, n: int, selected: Bool[np.ndarray, " documents"]
    ) -> tuple[UInt64[np.ndarray, " list_ngrams"], Int[np.ndarray, " list_ngrams"]]:
        """Hash and document of every distinct run of `n` tokens, sorted by hash, then document."""
        positions, documents = self.locate_ngrams(n, selected)
        hashes = self.hash_ngrams(n)[positions]
        by_hash = np.argsort(hashes, kind="stable")
        hashes, documents = hashes[by_hash], documents[by_hash]
        first = np.ones(len(hashes), dtype=bool)
        first[1:] = (hashes[1:] != hashes[:-1]) | (documents[1:] != documents[:-1])
        return hashes[first], documents[first]

    def hash_ngrams(self, n: int) -> UInt64[np.ndarray, " positions"]:
        """The run of `n` tokens that begins at each position, across documents too."""
        count = max(0, len(self.flat) - n + 1)
        return (
            self._prefix_sums[n : n + count] - self._prefix_sums[:count]
        ) * self._inverse_powers[:count]

    def locate_ngrams(
        self, n: int, selected: Bool[np.ndarray, " documents"]
    ) -> tuple[Int[np.ndarray, " list_ngrams"], Int[np.ndarray, " list_ngrams"]]:
        """Where each run of `n` tokens begins in `flat`, and in which document it lies."""
        counts = np.where(selected, np.maximum(0, self.lengths - n + 1), 0)
        documents = np.repeat(np.arange(len(counts)), counts)
        return self.starts[documents] + _number_members(counts), documents


def _mix_ids(
    ids: Int[np.ndarray, " split_ngram_tokens"],
) -> UInt64[np.ndarray, " split_ngram_tokens"]:
    """Splitmix64: neighbouring numbers become unrelated ones."""
    x = (ids.astype(np.uint64) + np.uint64(1)) * _BASE
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _compute_powers(base: np.uint64, count: int) -> UInt64[np.ndarray, " places"]:
    powers = np.full(count, base, dtype=np.uint64)
    powers[:1] = 1
    return np.cumprod(powers, dtype=np.uint64)


def find_contained(
    small: NgramIndex, large: NgramIndex, selected: Bool[np.ndarray, " documents"]
) -> Pairs:
    """Pairs of a wanted document of `small` and one of `large` that holds all its tokens in a row.

    A text of fewer than `PHRASE` tokens in more than `common` documents is wording, and no pair.
    """
    pieces = [np.empty((0, 2), dtype=np.int64)]
    for n in np.unique(small.lengths[selected]).tolist():
        items = np.flatnonzero(selected & (small.lengths == n))
        hashes = small.hash_ngrams(n)[small.starts[items]]
        by_hash = np.argsort(hashes)
        items, hashes = items[by_hash], hashes[by_hash]
        places, documents = large.locate_ngrams(n, large.lengths >= n)
        runs = large.hash_ngrams(n)[places]
        begin = np.searchsorted(hashes, runs, side="left")
        counts = np.searchsorted(hashes, runs, side="right") - begin
        hits = np.flatnonzero(counts)
        members = _number_members(counts[hits])
        held = items[np.repeat(begin[hits], counts[hits]) + members]
        holders = np.repeat(documents[hits], counts[hits])
        keys = _sort_distinct(held * len(large.lengths) + holders)
        held, holders = np.divmod(keys, max(1, len(large.lengths)))
        often = np.bincount(held, minlength=len(small.lengths)) > large.common_above
        kept = np.full(len(held), n >= PHRASE_TOKENS) | ~often[held]
        pieces.append(np.stack([held, holders], axis=1)[kept])
    return np.concatenate(pieces)


def compute_ngram_shares(
    one: NgramIndex,
    other: NgramIndex,
    n: int,
    pairs: Pairs,
    only: Bool[np.ndarray, " ids"] | None = None,
) -> Float[np.ndarray, " pairs"]:
    """Share of the runs of `n` tokens of the text with fewer that the other holds as well.

    A run counts as often as it occurs; nan where a text has none. `only` restricts single tokens.
    """
    (left, right), totals = _count_ngrams(one, other, n, only)
    shared = np.concatenate(
        [np.empty(0)]
        + [
            np.asarray(left[part[:, 0]].minimum(right[part[:, 1]]).sum(axis=1)).reshape(-1)
            for part in np.array_split(pairs, len(pairs) // _PAIRS_PER_PRODUCT + 1)
        ]
    )
    totals_of_shorter = np.minimum(totals[0][pairs[:, 0]], totals[1][pairs[:, 1]])
    return np.divide(
        shared, totals_of_shorter, out=np.full(len(pairs), np.nan), where=totals_of_shorter > 0
    )


def _count_ngrams(
    one: NgramIndex, other: NgramIndex, n: int, only: Bool[np.ndarray, " ids"] | None
) -> tuple[list[sparse.csr_array], list[np.ndarray]]:
    """Of each set, how often each document holds each run, and how many runs it has."""
    sides = []
    for index in (one, other):
        positions, documents = index.locate_ngrams(n, index.lengths >= n)
        if only is not None:
            kept = only[index.flat[positions]]
            positions, documents = positions[kept], documents[kept]
        sides.append((index.hash_ngrams(n)[positions], documents, len(index.lengths)))
    columns = np.unique(np.concatenate([side[0] for side in sides]), return_inverse=True)[1]
    ends = np.split(columns, [len(sides[0][0])])
    width = int(columns.max(initial=0)) + 1
    matrices = [
        sparse.csr_array(
            (np.ones(len(documents), np.int32), (documents, column)), shape=(rows, width)
        )
        for (_, documents, rows), column in zip(sides, ends, strict=True)
    ]
    return matrices, [np.bincount(side[1], minlength=side[2]) for side in sides]


def find_sharing_pairs(
    one: NgramIndex,
    other: NgramIndex,
    n: int,
    left: Bool[np.ndarray, " documents"],
    right: Bool[np.ndarray, " others"],
) -> tuple[Pairs, Bool[np.ndarray, " documents"], Bool[np.ndarray, " others"]]:
    """Pairs of wanted documents that share an uncommon run of `n` tokens.

    With them, for each set, the documents that have any uncommon run: the others must be looked
    for whole. Given one index twice, each pair comes once, the earlier document first.
    """
    hashes, documents = one.list_ngrams(n, left)
    others_hashes, others = (hashes, documents) if other is one else other.list_ngrams(n, right)
    ngrams, starts, counts = np.unique(hashes, return_index=True, return_counts=True)
    others_ngrams, others_starts, others_counts = np.unique(
        others_hashes, return_index=True, return_counts=True
    )
    _, i, j = np.intersect1d(ngrams, others_ngrams, assume_unique=True, return_indices=True)
    common, others_common = counts > one.common_above, others_counts > other.common_above
    # Wording in either set is wording in both.
    both = common[i] | others_common[j]
    common[i], others_common[j] = both, both
    left_part = documents, starts[i[~both]], counts[i[~both]]
    right_part = others, others_starts[j[~both]], others_counts[j[~both]]
    chunks = [
        _cross_documents(left_part, right_part, chunk, len(other.lengths))
        for chunk in _slice_chunks(left_part[2] * right_part[2])
    ]
    keys = _sort_distinct(np.concatenate([np.empty(0, dtype=np.int64), *chunks]))
    pairs = np.stack(np.divmod(keys, max(1, len(other.lengths))), axis=1)
    if other is one:
        pairs = pairs[pairs[:, 0] < pairs[:, 1]]
    seen, others_seen = np.zeros(len(left), dtype=bool), np.zeros(len(right), dtype=bool)
    seen[documents[np.repeat(~common, counts)]] = True
    others_seen[others[np.repeat(~others_common, others_counts)]] = True
    return pairs, seen, others_seen


def _slice_chunks(sizes: Int[np.ndarray, " runs"]) -> Iterator[slice]:
    """Slices of the runs, each of about `_CHUNK` pairs."""
    ends = (
        np.searchsorted(
            np.cumsum(sizes),
            np.arange(_PAIRS_PER_CHUNK, sizes.sum() + _PAIRS_PER_CHUNK, _PAIRS_PER_CHUNK),
        )
        + 1
    )
    start = 0
    for end in ends.tolist():
        yield slice(start, end)
        start = end


def _cross_documents(
    left: tuple[np.ndarray, np.ndarray, np.ndarray],
    right: tuple[np.ndarray, np.ndarray, np.ndarray],
    chunk: slice,
    width: int,
) -> Int[np.ndarray, " pairs"]:
    """Every document of `left` with every one of `right` that holds the same run, as one number.

    Each side is (documents sorted by run, where each run's documents start, how many there are).
    """
    counts, others = left[2][chunk], right[2][chunk]
    sizes = counts * others
    ngram = np.repeat(np.arange(len(sizes)), sizes)
    members = _number_members(sizes)
    first = left[0][left[1][chunk][ngram] + members // others[ngram]]
    second = right[0][right[1][chunk][ngram] + members % others[ngram]]
    return _sort_distinct(first * width + second)


def _number_members(counts: Int[np.ndarray, " groups"]) -> Int[np.ndarray, " members"]:
    """0, 1, ... up to each count, one group after the other."""
    return np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)


def _sort_distinct(keys: Int[np.ndarray, " keys"]) -> Int[np.ndarray, " distinct"]:
    """Sorted, each once; several times as fast here as np.unique, which hashes."""
    keys = np.sort(keys)
    return keys[np.append(True, keys[1:] != keys[:-1])[: len(keys)]]
