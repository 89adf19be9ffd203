"""What the generated families share: a draft record, and lettered options.

A family is a function from a random generator to a `Draft`; `nano` turns drafts into records.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

LETTERS = "ABCD"


@dataclass(frozen=True)
class Draft:
    """A question with its worked answer, not yet numbered."""

    question: str
    rationale: str
    answer: str


def choice(stem: str, right: str, wrong: Sequence[str], rationale: str) -> Draft:
    """A multiple-choice draft: the options sorted, the answer a letter."""
    options = sorted([right, *wrong])
    lines = [f"{letter}. {option}" for letter, option in zip(LETTERS, options, strict=True)]
    return Draft("\n".join([stem, *lines]), rationale, LETTERS[options.index(right)])


def kind_of(rng: Random, kinds: dict[str, list[str]]) -> tuple[str, str, list[str]]:
    """A thing, its kind and three other kinds."""
    kind, *wrong = rng.sample(list(kinds), len(LETTERS))
    return rng.choice(kinds[kind]), kind, wrong
