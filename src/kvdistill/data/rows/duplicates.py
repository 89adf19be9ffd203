"""Questions that come twice: once where their answers agree, by a stated rule where they do not."""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation

from kvdistill.data.contamination.ngrams import Vocabulary
from kvdistill.data.contamination.normalise import fold_text
from kvdistill.data.contamination.overlap import Corpus, find_exact_copies
from kvdistill.errors import ConfigError
from kvdistill.records import Record

CONFLICT_RULES = ("drop", "refuse", "first")
"""Of questions whose answers differ: none is kept, the data is refused, or the first is kept."""

LONGEST_NUMBER = 1000
"""Digits."""


@dataclass(frozen=True)
class Deduplicated:
    """Records of distinct questions, in order, and what went."""

    records: list[Record]
    duplicates: int = 0
    """Records that repeat the question and the answer of one before them."""
    conflicts: list[list[Record]] = field(default_factory=list)
    """Of each question with answers that differ, all its records."""


def check_conflict_rule(rule: str, setting: str) -> None:
    """Raises ConfigError for a rule that is none."""
    if rule not in CONFLICT_RULES:
        raise ConfigError(f"{setting}={rule!r} must be one of {', '.join(CONFLICT_RULES)}.")


def deduplicate_records(records: Sequence[Record], conflicts: str = "drop") -> Deduplicated:
    """Each question once; `find_exact_copies` says which are equal.

    Raises ConfigError naming two records where answers differ and the rule is to refuse them.
    """
    groups = group_copies(records)
    disputed = [
        group for group in groups if len({normalise_answer(records[i].answer) for i in group}) > 1
    ]
    differing = [[records[index] for index in group] for group in disputed]
    if differing and conflicts == "refuse":
        one, other = find_difference(differing[0])
        raise ConfigError(
            f"data.split.conflicts=refuse: {len(disputed)} questions come twice with answers that "
            f"differ: {one.id!r} has {one.answer[:40]!r}, {other.id!r} {other.answer[:40]!r}. "
            "Correct the rows, or leave such questions out with data.split.conflicts=drop."
        )
    out = {index for group in disputed for index in group} if conflicts == "drop" else set()
    repeated = {index for group in groups for index in group[1:]}
    kept = [record for index, record in enumerate(records) if index not in out | repeated]
    return Deduplicated(kept, len(repeated - out), differing)


def group_copies(records: Sequence[Record]) -> list[list[int]]:
    """The indices of each question that comes more than once, in order."""
    corpus = Corpus([record.question for record in records], Vocabulary())
    first_of: dict[int, int] = {}
    # Whoever repeats a record repeats the first that it repeats.
    for match in find_exact_copies(corpus, corpus):
        first = first_of.get(match.first, match.first)
        first_of[match.second] = min(first, first_of.get(match.second, first))
    members: dict[int, list[int]] = defaultdict(list)
    for second, first in sorted(first_of.items()):
        members[first] = [*(members[first] or [first]), second]
    return list(members.values())


def find_difference(group: Sequence[Record]) -> tuple[Record, Record]:
    """The first record of a group, and the first whose answer is another."""
    expected = normalise_answer(group[0].answer)
    return group[0], next(each for each in group if normalise_answer(each.answer) != expected)


def normalise_answer(answer: str) -> str:
    """One form for answers that every grader takes as equal: case, width, spaces, `1,000.0`."""
    folded = " ".join(fold_text(answer).split()).rstrip(".\u3002 ")
    plain = re.sub(r"(?<=\d),(?=\d{3}\b)", "", folded)
    try:
        number = Decimal(plain)
    except InvalidOperation:
        return folded
    # A number of a thousand digits is none that a grader compares.
    is_usual = number.is_finite() and abs(number.adjusted()) < LONGEST_NUMBER
    return format(number.normalize(), "f") if is_usual else folded
