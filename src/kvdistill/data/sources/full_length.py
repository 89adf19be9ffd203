"""Records as long as a run reads at most: what stage=smoke trains on where nothing is downloaded.

Another source's records with random short words before question and rationale, so that a text with
its worked answer fills `seq_len` and the share of it that the plan reckons with is answer.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random

from kvdistill.data.sources.base import Source
from kvdistill.records import Record

WORDS = [f"{consonant}{vowel}" for consonant in "bdfgklmnprst" for vowel in "aeiou"]
"""Few and short: a tokenizer that is trained on them reads each with its space as one token."""


@dataclass(frozen=True, kw_only=True)
class FullLength(Source):
    """The records of another source, lengthened."""

    of: Source
    seq_len: int
    """Tokens; a text is cut there, so that a word too many does no harm."""
    answer_share: float
    """Of a text's tokens."""

    def records(self) -> list[Record]:
        """As many as the other source has, in its order."""
        return [
            lengthen_record(each, self.seq_len, self.answer_share) for each in self.of.records()
        ]


def lengthen_record(record: Record, seq_len: int, answer_share: float) -> Record:
    """The record with random words, drawn by its id, before its question and its rationale."""
    rng = Random(record.id)
    # As many tokens as the question has words already, roughly, need no filling.
    asked = max(0, round((1 - answer_share) * seq_len) - 2 * len(record.question.split()))
    question = " ".join([*draw_words(rng, asked), record.question])
    rationale = " ".join([*draw_words(rng, seq_len), record.rationale])
    return replace(record, question=question, rationale=rationale)


def draw_words(rng: Random, count: int) -> Iterator[str]:
    """So many words."""
    return (rng.choice(WORDS) for _ in range(count))
