"""What the generated families share: draft records and multiple-choice options.

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
