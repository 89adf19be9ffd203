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

from kvdistill.data.ngrams import Index, Pairs, Vocabulary, contained, shares, sharing
from kvdistill.data.normalise import conflict, squashed

SEEDS = ((3, 4, 16), (5, 16, 40), (8, 40, 1 << 40))
"""Length of the shared run, and for which shorter texts (from, below; in tokens). A text of L
tokens keeps a run of (L - k) / (k + 1) when k of them are changed."""
ALONE = 16
"""Tokens below which a changed copy counts only on its own, not inside a longer text."""
SHORTEST = 3
"""Tokens below which a text is compared for equality only."""
LONG_RUN = 13
WORDS, TRIGRAMS, NUMBERS, LONG_RUNS = 0.8, 0.5, 0.5, 0.5
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
        self.index = Index(texts, vocabulary)
        self.keys = [squashed(text) for text in texts]
        self.places: dict[str, list[int]] = {}
        for place, key in enumerate(self.keys):
            self.places.setdefault(key, []).append(place)


def equal(one: Corpus, other: Corpus) -> list[Match]:
    """Pairs that differ in case, width, punctuation, symbols and white space at most."""
    return [
        Match(first, second, "exact", 1.0)
        for second, key in enumerate(other.keys)
        for first in one.places.get(key, ())
        if (other is not one or first < second)
        and not conflict(one.texts[first], other.texts[second])
    ]


def overlapping(one: Corpus, other: Corpus, numbers: Bool[np.ndarray, " ids"]) -> list[Match]:
    """Pairs, not of the same letters and digits, where one holds the other or most of it.

    `numbers` says which token ids are numbers. Given one corpus twice, each pair comes once.
    """
    pairs, bare = _seeded(one, other)
    whole = {
        (first, second)
        for first, second in _unequal(_whole(one, other, bare), one, other)
        if other is not one or first < second
    }
    pairs = np.array(
        [pair for pair in _unequal(pairs, one, other) if pair not in whole], dtype=np.int64
    ).reshape(-1, 2)
    same, words = _same(one.index, other.index, pairs, numbers)
    return [Match(first, second, "whole", 1.0) for first, second in sorted(whole)] + [
        Match(first, second, "ngram", float(score))
        for (first, second), score in zip(pairs[same].tolist(), words[same], strict=True)
    ]


def _same(
    one: Index, other: Index, pairs: Pairs, numbers: Bool[np.ndarray, " ids"]
) -> tuple[Bool[np.ndarray, " pairs"], Float[np.ndarray, " pairs"]]:
    """Whether each pair is one item, and the share of its words."""
    words = shares(one, other, 1, pairs)
    # Half of the 13-grams holds half of the words, so the others need no closer look.
    near = np.flatnonzero(words >= LONG_RUNS)
    close = (words[near] >= WORDS) & (shares(one, other, 3, pairs[near]) >= TRIGRAMS)
    # A text without numbers has nan here, and nothing to contradict.
    close &= ~(shares(one, other, 1, pairs[near], only=numbers) < NUMBERS)
    quoted = shares(one, other, LONG_RUN, pairs[near]) >= LONG_RUNS
    close |= (words[near] < WORDS) & quoted
    same = np.zeros(len(pairs), dtype=bool)
    same[near[close]] = True
    return same, words


def _seeded(
    one: Corpus, other: Corpus
) -> tuple[Pairs, tuple[Bool[np.ndarray, " documents"], Bool[np.ndarray, " others"]]]:
    """Candidates, and the documents of each set that have no uncommon run to be found by."""
    left, right = one.index.lengths, other.index.lengths
    pieces, bare = [], (left >= SHORTEST, right >= SHORTEST)
    for n, low, high in SEEDS:
        pairs, seen, others_seen = sharing(one.index, other.index, n, left >= low, right >= low)
        shorter, longer = (
            end(left[pairs[:, 0]], right[pairs[:, 1]]) for end in (np.minimum, np.maximum)
        )
        keep = shorter < high
        if low < ALONE:
            keep &= longer <= 1.5 * shorter
        pieces.append(pairs[keep])
        for needed, lengths, found in zip(bare, (left, right), (seen, others_seen), strict=True):
            needed &= ~(found & (lengths >= max(low, ALONE)) & (lengths < high))
    return np.concatenate(pieces), bare


def _whole(
    one: Corpus,
    other: Corpus,
    bare: tuple[Bool[np.ndarray, " documents"], Bool[np.ndarray, " others"]],
) -> Pairs:
    """Short texts, and those without an uncommon run, that lie whole in a text of the other set."""
    forth = contained(one.index, other.index, bare[0])
    back = contained(other.index, one.index, bare[1])[:, ::-1]
    return np.concatenate([forth, back])


def _unequal(pairs: Pairs, one: Corpus, other: Corpus) -> Iterator[tuple[int, int]]:
    """Pairs that are not of the same letters and digits: those `equal` has judged."""
    for first, second in pairs.tolist():
        if one.keys[first] != other.keys[second]:
            yield first, second
