"""Which documents of two sets hold the same item, and how that shows.

Three ways: the same letters and digits; the shorter text whole inside the longer; most of the
shorter text's words, in runs of the longer. The last is found by shared uncommon runs, shorter
for shorter texts, and verified on the texts themselves, because a shared run alone is often mere
wording (EVALUATION.md section 3).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from kvdistill.data.ngrams import (
    NgramIndex,
    Pairs,
    Vocabulary,
    compute_ngram_shares,
    find_contained,
    find_sharing_pairs,
)
from kvdistill.data.normalise import differ_in_operators, keep_alphanumerics

SEED_LENGTHS = ((3, 4, 16), (5, 16, 40), (8, 40, 1 << 40))
"""Length of the shared run, and for which shorter texts (from, below; in tokens). A text of L
tokens keeps a run of (L - k) / (k + 1) when k of them are changed."""
MIN_EMBEDDED_TOKENS = 16
"""Tokens below which a changed copy counts only on its own, not inside a longer text."""
MIN_TOKENS = 3
"""Tokens below which a text is compared for equality only."""
LONG_NGRAM = 13
MIN_WORD_SHARE, MIN_TRIGRAM_SHARE, MIN_NUMBER_SHARE, MIN_LONG_NGRAM_SHARE = 0.8, 0.5, 0.5, 0.5
"""Least shares of the shorter text found in the longer: its tokens and 3-grams, or else its
13-grams. Of the text with fewer numbers, those: a question with others is another question."""


@dataclass(frozen=True)
class Match:
    """Two documents, by place in their sets, that hold the same item."""

    first: int
    second: int
    method: str
    """exact, whole or ngram."""
    score: float
    """Share of the shorter text's tokens found in the longer."""


class Corpus:
    """The texts of a set, prepared once for all its comparisons."""

    def __init__(self, texts: Sequence[str], vocabulary: Vocabulary) -> None:
        self.texts = texts
        self.index = NgramIndex(texts, vocabulary)
        self.keys = [keep_alphanumerics(text) for text in texts]
        self.places: dict[str, list[int]] = {}
        for place, key in enumerate(self.keys):
            self.places.setdefault(key, []).append(place)


def find_exact_copies(one: Corpus, other: Corpus) -> list[Match]:
    """Pairs that differ in case, width, punctuation, symbols and white space at most."""
    return [
        Match(first, second, "exact", 1.0)
        for second, key in enumerate(other.keys)
        for first in one.places.get(key, ())
        if (other is not one or first < second)
        and not differ_in_operators(one.texts[first], other.texts[second])
    ]


def find_near_copies(one: Corpus, other: Corpus, numbers: Bool[np.ndarray, " ids"]) -> list[Match]:
    """Pairs, not of the same letters and digits, where one holds the other or most of it.

    `numbers` says which token ids are numbers. Given one corpus twice, each pair comes once.
    """
    pairs, without_seeds = _find_candidates(one, other)
    whole = {
        (first, second)
        for first, second in _skip_exact_pairs(
            _find_contained_pairs(one, other, without_seeds), one, other
        )
        if other is not one or first < second
    }
    pairs = np.array(
        [pair for pair in _skip_exact_pairs(pairs, one, other) if pair not in whole], dtype=np.int64
    ).reshape(-1, 2)
    same, words = _verify_pairs(one.index, other.index, pairs, numbers)
    return [Match(first, second, "whole", 1.0) for first, second in sorted(whole)] + [
        Match(first, second, "ngram", float(score))
        for (first, second), score in zip(pairs[same].tolist(), words[same], strict=True)
    ]


def _verify_pairs(
    one: NgramIndex, other: NgramIndex, pairs: Pairs, numbers: Bool[np.ndarray, " ids"]
) -> tuple[Bool[np.ndarray, " pairs"], Float[np.ndarray, " pairs"]]:
    """Whether each pair is one item, and the share of its words."""
    words = compute_ngram_shares(one, other, 1, pairs)
    # Half of the 13-grams holds half of the words, so the others need no closer look.
    near = np.flatnonzero(words >= MIN_LONG_NGRAM_SHARE)
    close = (words[near] >= MIN_WORD_SHARE) & (
        compute_ngram_shares(one, other, 3, pairs[near]) >= MIN_TRIGRAM_SHARE
    )
    # A text without numbers has nan here, and nothing to contradict.
    close &= ~(compute_ngram_shares(one, other, 1, pairs[near], only=numbers) < MIN_NUMBER_SHARE)
    quoted = compute_ngram_shares(one, other, LONG_NGRAM, pairs[near]) >= MIN_LONG_NGRAM_SHARE
    close |= (words[near] < MIN_WORD_SHARE) & quoted
    same = np.zeros(len(pairs), dtype=bool)
    same[near[close]] = True
    return same, words


def _find_candidates(
    one: Corpus, other: Corpus
) -> tuple[Pairs, tuple[Bool[np.ndarray, " documents"], Bool[np.ndarray, " others"]]]:
    """Candidates, and the documents of each set that have no uncommon run to be found by."""
    left, right = one.index.lengths, other.index.lengths
    pieces, without_seeds = [], (left >= MIN_TOKENS, right >= MIN_TOKENS)
    for n, low, high in SEED_LENGTHS:
        pairs, seeded, others_seeded = find_sharing_pairs(
            one.index, other.index, n, left >= low, right >= low
        )
        shorter, longer = (
            end(left[pairs[:, 0]], right[pairs[:, 1]]) for end in (np.minimum, np.maximum)
        )
        keep = shorter < high
        if low < MIN_EMBEDDED_TOKENS:
            keep &= longer <= 1.5 * shorter
        pieces.append(pairs[keep])
        for unseeded, lengths, has_seed in zip(
            without_seeds, (left, right), (seeded, others_seeded), strict=True
        ):
            unseeded &= ~(has_seed & (lengths >= max(low, MIN_EMBEDDED_TOKENS)) & (lengths < high))
    return np.concatenate(pieces), without_seeds


def _find_contained_pairs(
    one: Corpus,
    other: Corpus,
    without_seeds: tuple[Bool[np.ndarray, " documents"], Bool[np.ndarray, " others"]],
) -> Pairs:
    """Short texts, and those without an uncommon run, that lie whole in a text of the other set."""
    forth = find_contained(one.index, other.index, without_seeds[0])
    back = find_contained(other.index, one.index, without_seeds[1])[:, ::-1]
    return np.concatenate([forth, back])


def _skip_exact_pairs(pairs: Pairs, one: Corpus, other: Corpus) -> Iterator[tuple[int, int]]:
    """Pairs that are not of the same letters and digits: those `equal` has judged."""
    for first, second in pairs.tolist():
        if one.keys[first] != other.keys[second]:
            yield first, second
