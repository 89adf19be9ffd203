"""N-grams of documents: which documents of two sets share an uncommon one, and how many they share.

N-grams are runs of n tokens within one document, hashed into 64 bits and joined by sorting, so
memory is linear in the tokens. An n-gram that many documents of a set hold is common wording, not
an item, and makes no candidates (as decon weighs n-grams by how rare they are).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Int, UInt64
from scipy import sparse

from kvdistill.data.contamination.normalise import split_ngram_tokens

Pairs = Int[np.ndarray, "pairs 2"]
_BASE = np.uint64(0x9E3779B97F4A7C15)
"""Of the rolling hash, modulo 2^64; odd, so that it has an inverse there."""
_INVERSE = np.uint64(pow(int(_BASE), -1, 1 << 64))
MIN_COMMON_DOCUMENTS = 10
"""An n-gram in no more documents than this is never common, however small the set."""
PHRASE_TOKENS = 13
"""From this length on, a text that many documents hold was copied many times: no stock phrase."""
_PAIRS_PER_CHUNK = 1 << 21
"""Pairs held in memory at once, before duplicates among them are dropped."""
_PAIRS_PER_PRODUCT = 20_000
"""Pairs whose n-gram counts are compared at once."""


@dataclass
class Vocabulary:
    """Token -> id, in order of first appearance; shared by all sets that are compared."""

    ids: dict[str, int] = field(default_factory=dict)

    def encode(self, tokens: Iterable[str]) -> list[int]:
        """The ids of a text's tokens."""
        return [self.ids.setdefault(token, len(self.ids)) for token in tokens]


class NgramIndex:
    """The tokens of a set of documents, laid end to end, and hashes of all their n-grams."""

    def __init__(
        self,
        texts: Sequence[str],
        vocabulary: Vocabulary,
        split_text: Callable[[str], list[str]] = split_ngram_tokens,
    ) -> None:
        encoded = [np.array(vocabulary.encode(split_text(text)), dtype=np.int64) for text in texts]
        self.lengths = np.array([len(ids) for ids in encoded], dtype=np.int64)
        """Tokens of each document."""
        self.starts = np.cumsum(self.lengths) - self.lengths
        self.flat = np.concatenate([*encoded, np.empty(0, dtype=np.int64)])
        self.common_above = max(MIN_COMMON_DOCUMENTS, len(texts) // 1000)
        """An n-gram in more documents than this is common wording."""
        # Rabin-Karp for every n at once: prefix sums of token * base^position give the hash of
        # any n-gram as a difference, and the inverse powers move that difference to position 0.
        # All of it wraps modulo 2^64, which is what makes the inverse exact.
        count = len(self.flat)
        self._prefix_sums = np.zeros(count + 1, dtype=np.uint64)
        np.cumsum(_mix_ids(self.flat) * _compute_powers(_BASE, count), out=self._prefix_sums[1:])
        self._inverse_powers = _compute_powers(_INVERSE, count)

    def list_ngrams(
        self, n: int, selected: Bool[np.ndarray, " documents"]
    ) -> tuple[UInt64[np.ndarray, " ngrams"], Int[np.ndarray, " ngrams"]]:
        """Hash and document of each document's distinct n-grams, sorted by hash, then document.

        Of the `selected` documents only.
        """
        positions, documents = self.locate_ngrams(n, selected)
        hashes = self.hash_ngrams(n)[positions]
        # Stable: documents were ascending, and stay so among equal hashes.
        by_hash = np.argsort(hashes, kind="stable")
        hashes, documents = hashes[by_hash], documents[by_hash]
        first = np.ones(len(hashes), dtype=bool)
        first[1:] = (hashes[1:] != hashes[:-1]) | (documents[1:] != documents[:-1])
        return hashes[first], documents[first]

    def hash_ngrams(self, n: int) -> UInt64[np.ndarray, " positions"]:
        """Hash of the n-gram that begins at each position of `flat`.

        Some cross the end of a document: `locate_ngrams` says which positions do not.
        """
        count = max(0, len(self.flat) - n + 1)
        return (
            self._prefix_sums[n : n + count] - self._prefix_sums[:count]
        ) * self._inverse_powers[:count]

    def locate_ngrams(
        self, n: int, selected: Bool[np.ndarray, " documents"]
    ) -> tuple[Int[np.ndarray, " ngrams"], Int[np.ndarray, " ngrams"]]:
        """Position in `flat` and document of every n-gram of the `selected` documents."""
        counts = np.where(selected, np.maximum(0, self.lengths - n + 1), 0)
        documents = np.repeat(np.arange(len(counts)), counts)
        return self.starts[documents] + _number_members(counts), documents


def _mix_ids(
    ids: Int[np.ndarray, " tokens"],
) -> UInt64[np.ndarray, " tokens"]:
    """Splitmix64 (Steele et al. 2014): consecutive ids become unrelated 64-bit numbers."""
    x = (ids.astype(np.uint64) + np.uint64(1)) * _BASE
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _compute_powers(base: np.uint64, count: int) -> UInt64[np.ndarray, " positions"]:
    """base^0, base^1, ... modulo 2^64."""
    powers = np.full(count, base, dtype=np.uint64)
    powers[:1] = 1
    return np.cumprod(powers, dtype=np.uint64)


def find_contained(
    small: NgramIndex, large: NgramIndex, selected: Bool[np.ndarray, " documents"]
) -> Pairs:
    """Pairs (a selected document of `small`, one of `large` that holds all its tokens in a row).

    A document of fewer than `PHRASE_TOKENS` tokens that more than `large.common_above` documents
    hold is common wording: it makes no pair.
    """
    pieces = [np.empty((0, 2), dtype=np.int64)]
    for n in np.unique(small.lengths[selected]).tolist():
        # A document of n tokens is one n-gram: look it up among all n-grams of the other set.
        documents = np.flatnonzero(selected & (small.lengths == n))
        hashes = small.hash_ngrams(n)[small.starts[documents]]
        by_hash = np.argsort(hashes)
        documents, hashes = documents[by_hash], hashes[by_hash]
        positions, others = large.locate_ngrams(n, large.lengths >= n)
        ngrams = large.hash_ngrams(n)[positions]
        # Equal documents of `small` have one hash: each n-gram may hit a range of them.
        begin = np.searchsorted(hashes, ngrams, side="left")
        counts = np.searchsorted(hashes, ngrams, side="right") - begin
        hits = np.flatnonzero(counts)
        members = _number_members(counts[hits])
        held = documents[np.repeat(begin[hits], counts[hits]) + members]
        holders = np.repeat(others[hits], counts[hits])
        # max(1, ...): an empty set has no pairs, but must not divide by 0.
        keys = _sort_distinct(held * len(large.lengths) + holders)
        held, holders = np.divmod(keys, max(1, len(large.lengths)))
        common = np.bincount(held, minlength=len(small.lengths)) > large.common_above
        kept = np.full(len(held), n >= PHRASE_TOKENS) | ~common[held]
        pieces.append(np.stack([held, holders], axis=1)[kept])
    return np.concatenate(pieces)


def compute_ngram_shares(
    one: NgramIndex,
    other: NgramIndex,
    n: int,
    pairs: Pairs,
    only: Bool[np.ndarray, " ids"] | None = None,
) -> Float[np.ndarray, " pairs"]:
    """Of each pair, the share of n-grams of the document with fewer that the other holds as well.

    An n-gram counts as often as it occurs; nan where a document has none. With `only`, by token
    id, those alone count that hold such a token.
    """
    (left, right), totals = _count_ngrams(one, other, n, only)
    # In pieces: a minimum of sparse matrices takes memory by the pairs in it.
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
    """Of each set, counts (document x n-gram), and the number of n-grams of each document."""
    sides = []
    for index in (one, other):
        positions, documents = index.locate_ngrams(n, index.lengths >= n)
        if only is not None:
            kept = np.logical_or.reduce([only[index.flat[positions + k]] for k in range(n)])
            positions, documents = positions[kept], documents[kept]
        sides.append((index.hash_ngrams(n)[positions], documents, len(index.lengths)))
    # Hashes become column numbers common to both sets, so that the matrices can be compared.
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
    """Pairs of documents, selected by `left` and `right`, that share an uncommon n-gram.

    With them, for each set, which documents have any uncommon n-gram; the others cannot be found
    so, and need `find_contained`. Given one index twice, each pair comes once, the earlier
    document first.
    """
    hashes, documents = one.list_ngrams(n, left)
    others_hashes, others = (hashes, documents) if other is one else other.list_ngrams(n, right)
    ngrams, starts, counts = np.unique(hashes, return_index=True, return_counts=True)
    others_ngrams, others_starts, others_counts = np.unique(
        others_hashes, return_index=True, return_counts=True
    )
    _, i, j = np.intersect1d(ngrams, others_ngrams, assume_unique=True, return_indices=True)
    common, others_common = counts > one.common_above, others_counts > other.common_above
    # Common in either set is common in both, or a stock phrase of one would pair with the other.
    both = common[i] | others_common[j]
    common[i], others_common[j] = both, both
    # Both sides now list the same uncommon n-grams, in the same order.
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


def _slice_chunks(sizes: Int[np.ndarray, " ngrams"]) -> Iterator[slice]:
    """Slices of about `_PAIRS_PER_CHUNK` pairs; the pairs of one n-gram stay together."""
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
    """Every document of `left` with every one of `right` that holds the same n-gram.

    Each side is (documents sorted by n-gram, where each n-gram's documents start, how many there
    are). A pair is the number left * width + right; sorted, each once.
    """
    counts, others = left[2][chunk], right[2][chunk]
    sizes = counts * others
    # Member m of an n-gram's product is (document m // others, other m % others) of that n-gram.
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
