"""Which documents of two sets hold the same item, and by which method that was found.

`exact`: the same letters and digits. `whole`: the shorter text lies whole inside the longer.
`ngram`: the longer holds most of the shorter text's words and n-grams; candidates share an
uncommon n-gram (a seed), shorter for shorter texts, and are verified on all their n-grams, because
one shared n-gram is often common wording only. `template`: equal once numbers are masked.
"""

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from kvdistill.data.contamination.ngrams import (
    NgramIndex,
    Pairs,
    Vocabulary,
    compute_ngram_shares,
    find_contained,
    find_sharing_pairs,
)
from kvdistill.data.contamination.normalise import (
    differ_in_operators,
    keep_alphanumerics,
    mask_numbers,
    split_characters,
)

SEED_LENGTHS = ((3, 4, 16), (5, 16, 40), (8, 40, 1 << 40))
"""(n of the shared n-gram, and for which lengths of the shorter text: from, below; in tokens). A
text of L tokens keeps an n-gram of (L - k) / (k + 1) tokens when k of them are changed."""
MIN_EMBEDDED_TOKENS = 16
"""Below this length a changed copy counts only as a text of its own, not inside a longer one."""
MIN_TOKENS = 3
"""Below this length a text is compared for equality only."""
LONG_NGRAM = 13
MIN_WORD_SHARE, MIN_TRIGRAM_SHARE, MIN_NUMBER_SHARE, MIN_LONG_NGRAM_SHARE = 0.8, 0.5, 0.5, 0.5
"""Least shares of the shorter text that the longer holds: of its tokens and 3-grams, or else of
its 13-grams. NUMBER: of the numbers of the text with fewer, as a question with other numbers is
another question."""
MIN_CHARACTER_SHARE, MIN_CHARACTER_TRIGRAM_SHARE, MIN_DIGIT_SHARE = 0.85, 0.55, 0.55
"""Of letters and digits one by one, of which unrelated formulas have more in common than of words.
Every tenth changed leaves 0.9 of them and 0.7 of their 3-grams. DIGIT: of the pairs of neighbours
that hold a digit, as a digit alone says little."""


@dataclass(frozen=True)
class ShareBounds:
    """Least shares for two texts to hold the same item, and the n-grams that they are taken of."""

    tokens: float
    trigrams: float
    numbers: float
    number_ngram: int
    """n of the n-grams by which numbers are compared: those that hold one."""
    long_ngram: int
    """n of those that a quotation is found by."""


WORD_BOUNDS = ShareBounds(MIN_WORD_SHARE, MIN_TRIGRAM_SHARE, MIN_NUMBER_SHARE, 1, LONG_NGRAM)
CHARACTER_BOUNDS = ShareBounds(
    MIN_CHARACTER_SHARE, MIN_CHARACTER_TRIGRAM_SHARE, MIN_DIGIT_SHARE, 2, 3 * LONG_NGRAM
)


@dataclass(frozen=True)
class Match:
    """Two documents, by index in their sets, that hold the same item."""

    first: int
    second: int
    method: str
    """exact, whole, ngram or template."""
    score: float
    """Share of the shorter text's tokens found in the longer."""


class Corpus:
    """The texts of a set, indexed for comparison: by n-gram, and by letters and digits."""

    def __init__(self, texts: Sequence[str], vocabulary: Vocabulary) -> None:
        self.texts = texts
        self.index = NgramIndex(texts, vocabulary)
        self.character_index = NgramIndex(texts, vocabulary, split_characters)
        """Of the texts in scripts without spaces alone; the others are empty in it."""
        self.keys = [keep_alphanumerics(text) for text in texts]
        self.indices_by_key: dict[str, list[int]] = {}
        for index, key in enumerate(self.keys):
            self.indices_by_key.setdefault(key, []).append(index)
        self.templates = [mask_numbers(text) for text in texts]
        self.indices_by_template: dict[str, list[int]] = {}
        for index, template in enumerate(self.templates):
            if _is_template(template):
                self.indices_by_template.setdefault(template, []).append(index)


def find_exact_copies(one: Corpus, other: Corpus) -> list[Match]:
    """Pairs that differ in case, width, punctuation, symbols and white space at most.

    Given one corpus twice, each pair comes once.
    """
    return [
        Match(first, second, "exact", 1.0)
        for second, key in enumerate(other.keys)
        for first in one.indices_by_key.get(key, ())
        if (other is not one or first < second)
        and not differ_in_operators(one.texts[first], other.texts[second])
    ]


def find_template_copies(one: Corpus, other: Corpus) -> list[Match]:
    """Pairs of the same words in the same order, and of other numbers: one template filled twice.

    Given one corpus twice, each pair comes once.
    """
    return [
        Match(first, second, "template", 1.0)
        for second, template in enumerate(other.templates)
        for first in one.indices_by_template.get(template, ())
        if (other is not one or first < second) and one.keys[first] != other.keys[second]
    ]


def _is_template(masked: str) -> bool:
    """Whether a text with masked numbers has words enough to be told from other texts."""
    tokens = masked.split()
    return "0" in tokens and sum(token != "0" for token in tokens) >= MIN_TOKENS


def find_near_copies(one: Corpus, other: Corpus, numbers: Bool[np.ndarray, " ids"]) -> list[Match]:
    """Pairs, not of the same letters and digits, where one holds the other or most of it.

    `numbers` says, by token id, which tokens are numbers. Given one corpus twice, each pair comes
    once.
    """
    pairs, without_seeds = _find_candidates(one.index, other.index)
    whole = {
        (first, second)
        for first, second in _skip_exact_pairs(
            _find_contained_pairs(one, other, without_seeds), one, other
        )
        if other is not one or first < second
    }
    pairs = _list_other_pairs(pairs, one, other, whole)
    same, words = _verify_pairs(one.index, other.index, pairs, numbers, WORD_BOUNDS)
    near = dict(zip(map(tuple, pairs[same].tolist()), words[same].tolist(), strict=True))
    # Formulas and numbers among characters once more by letters and digits: one of them changed
    # makes the word another, and ten of a hundred then make a third of the words.
    pairs, _ = _find_candidates(one.character_index, other.character_index)
    pairs = _list_other_pairs(pairs, one, other, whole | near.keys())
    same, words = _verify_pairs(
        one.character_index, other.character_index, pairs, numbers, CHARACTER_BOUNDS
    )
    near |= dict(zip(map(tuple, pairs[same].tolist()), words[same].tolist(), strict=True))
    return [Match(first, second, "whole", 1.0) for first, second in sorted(whole)] + [
        Match(first, second, "ngram", score) for (first, second), score in sorted(near.items())
    ]


def _list_other_pairs(
    pairs: Pairs, one: Corpus, other: Corpus, known: Set[tuple[int, int]]
) -> Int[np.ndarray, "rest 2"]:
    """The pairs but those known, and those of the same letters and digits."""
    rest = [pair for pair in _skip_exact_pairs(pairs, one, other) if pair not in known]
    return np.array(rest, dtype=np.int64).reshape(-1, 2)


def _verify_pairs(
    one: NgramIndex,
    other: NgramIndex,
    pairs: Pairs,
    numbers: Bool[np.ndarray, " ids"],
    bounds: ShareBounds,
) -> tuple[Bool[np.ndarray, " pairs"], Float[np.ndarray, " pairs"]]:
    """Whether each pair is one item, and the share of tokens it has in common."""
    tokens = compute_ngram_shares(one, other, 1, pairs)
    # Half of the 13-grams hold half of the tokens: pairs with fewer need no look at their n-grams.
    near = np.flatnonzero(tokens >= MIN_LONG_NGRAM_SHARE)
    close = (tokens[near] >= bounds.tokens) & (
        compute_ngram_shares(one, other, 3, pairs[near]) >= bounds.trigrams
    )
    # `~(share < least)`, not `share >= least`: a text without numbers has nan, and passes.
    shares = compute_ngram_shares(one, other, bounds.number_ngram, pairs[near], only=numbers)
    close &= ~(shares < bounds.numbers)
    quoted = compute_ngram_shares(one, other, bounds.long_ngram, pairs[near])
    # A long quotation inside another text: few of its words, but long n-grams of it.
    close |= (tokens[near] < bounds.tokens) & (quoted >= MIN_LONG_NGRAM_SHARE)
    same = np.zeros(len(pairs), dtype=bool)
    same[near[close]] = True
    return same, tokens


def _find_candidates(
    one: NgramIndex, other: NgramIndex
) -> tuple[Pairs, tuple[Bool[np.ndarray, " documents"], Bool[np.ndarray, " others"]]]:
    """Pairs that share a seed, and the documents of each set that have none to be found by.

    A document below `MIN_EMBEDDED_TOKENS` counts as one without, since its seeds pair it with
    texts of like length only.
    """
    left, right = one.lengths, other.lengths
    pieces, without_seeds = [], (left >= MIN_TOKENS, right >= MIN_TOKENS)
    for n, low, high in SEED_LENGTHS:
        pairs, seeded, others_seeded = find_sharing_pairs(one, other, n, left >= low, right >= low)
        shorter, longer = (
            end(left[pairs[:, 0]], right[pairs[:, 1]]) for end in (np.minimum, np.maximum)
        )
        keep = shorter < high
        if low < MIN_EMBEDDED_TOKENS:
            # Three tokens shared with a long text say nothing: a changed copy has like length.
            keep &= longer <= 1.5 * shorter
        pieces.append(pairs[keep])
        for unseeded, lengths, has_seed in zip(
            without_seeds, (left, right), (seeded, others_seeded), strict=True
        ):
            # In place: `without_seeds` holds these arrays.
            unseeded &= ~(has_seed & (lengths >= max(low, MIN_EMBEDDED_TOKENS)) & (lengths < high))
    return np.concatenate(pieces), without_seeds


def _find_contained_pairs(
    one: Corpus,
    other: Corpus,
    without_seeds: tuple[Bool[np.ndarray, " documents"], Bool[np.ndarray, " others"]],
) -> Pairs:
    """Pairs of a text without seeds and one of the other set that holds it whole, both ways."""
    forth = find_contained(one.index, other.index, without_seeds[0])
    back = find_contained(other.index, one.index, without_seeds[1])[:, ::-1]
    return np.concatenate([forth, back])


def _skip_exact_pairs(pairs: Pairs, one: Corpus, other: Corpus) -> Iterator[tuple[int, int]]:
    """The pairs but those of the same letters and digits, which `find_exact_copies` has judged."""
    for first, second in pairs.tolist():
        if one.keys[first] != other.keys[second]:
            yield first, second
