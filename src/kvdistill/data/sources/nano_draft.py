"""What the generated families share: draft records, how far two must differ, lettered options.

A family is a function from a random generator to a `Draft`; `nano` turns drafts into records.
"""

import math
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from random import Random

from kvdistill.data.contamination.normalise import mask_numbers, split_ngram_tokens
from kvdistill.data.contamination.overlap import MIN_TRIGRAM_SHARE, MIN_WORD_SHARE

LETTERS = "ABCD"
Trigram = tuple[str, str, str]


@dataclass(frozen=True)
class Draft:
    """A question with its worked answer, not yet numbered."""

    question: str
    rationale: str
    answer: str


class DraftFilter:
    """Admits questions no two of which are near copies, or the same but for their numbers.

    So no test row is a training row with a name or a number exchanged, wherever a split cuts. The
    shares are those of the leak check, counted without its indices of whole sets.
    """

    def __init__(self) -> None:
        self.words: list[Counter[str]] = []
        self.trigrams: list[set[Trigram]] = []
        self.questions_by_trigram: dict[Trigram, list[int]] = {}
        self.masked: set[str] = set()
        self.fewest_trigrams = sys.maxsize
        """Of any admitted question."""

    def admit(self, question: str) -> bool:
        """Whether it is far enough from all before; if so, later ones must be from it."""
        tokens = split_ngram_tokens(question)
        words, trigrams = Counter(tokens), set(zip(tokens, tokens[1:], tokens[2:], strict=False))
        masked = mask_numbers(question)
        if masked in self.masked or self._is_near_copy(words, trigrams):
            return False
        for trigram in trigrams:
            self.questions_by_trigram.setdefault(trigram, []).append(len(self.words))
        self.words.append(words)
        self.trigrams.append(trigrams)
        self.fewest_trigrams = min(self.fewest_trigrams, len(trigrams))
        self.masked.add(masked)
        return True

    def _is_near_copy(self, words: Counter[str], trigrams: set[Trigram]) -> bool:
        """Whether some admitted question shares enough of both with it, whatever its numbers."""
        # Who shares half of the trigrams has one of the rarer half: only there it is looked for
        # (prefix filtering; Chaudhuri et al. 2006).
        needed = math.ceil(MIN_TRIGRAM_SHARE * min(len(trigrams), self.fewest_trigrams))
        by_rarity = sorted(trigrams, key=lambda each: len(self.questions_by_trigram.get(each, ())))
        rare = by_rarity[: len(trigrams) - needed + 1]
        candidates = set(chain.from_iterable(self.questions_by_trigram.get(t, ()) for t in rare))
        return any(self._shares_enough(words, trigrams, other) for other in candidates)

    def _shares_enough(self, words: Counter[str], trigrams: set[Trigram], other: int) -> bool:
        """Whether an admitted question shares the least of trigrams and of words, or more."""
        theirs, their_words = self.trigrams[other], self.words[other]
        if len(trigrams & theirs) < MIN_TRIGRAM_SHARE * min(len(trigrams), len(theirs)):
            return False
        least = MIN_WORD_SHARE * min(words.total(), their_words.total())
        return (words & their_words).total() >= least


def make_choice_draft(stem: str, options: Sequence[str], right: str, rationale: str) -> Draft:
    """A multiple-choice draft: the options lettered in the order given, the answer a letter."""
    lines = [f"{letter}. {option}" for letter, option in zip(LETTERS, options, strict=True)]
    return Draft("\n".join([stem, *lines]), rationale, LETTERS[options.index(right)])


def draw_kind(rng: Random, kinds: dict[str, list[str]]) -> tuple[str, str, list[str]]:
    """(a thing, its kind, four kinds with that one among them), the four in the order of `kinds`.

    A fixed order makes knowing what a thing is worth something by itself: with shuffled options
    the student, taught all seven families at once, was still at chance after its 300 steps.
    """
    kinds_offered = rng.sample(list(kinds), len(LETTERS))
    thing = rng.choice(kinds[kinds_offered[0]])
    return thing, kinds_offered[0], [kind for kind in kinds if kind in kinds_offered]
