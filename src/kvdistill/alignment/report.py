"""How much of a text an alignment covers, and how much of it leaks the future; digits apart.

Tokenizers that split numbers and those that pack digits differ most where arithmetic is done, so
tokens that hold a digit are counted a second time.
"""

from dataclasses import dataclass

import numpy as np

from kvdistill.alignment.base import Spans, TextLinks

DIGITS = np.frombuffer(b"0123456789", dtype=np.uint8)


@dataclass(frozen=True, kw_only=True)
class AlignmentCounts:
    """Numbers of student tokens that cover text; special tokens are not counted."""

    tokens: int = 0
    matched: int = 0
    """With at least one link."""
    leaking: int = 0
    """Of the matched: linked to a teacher token that ends later, and so has read further."""

    def __add__(self, other: "AlignmentCounts") -> "AlignmentCounts":
        return AlignmentCounts(
            tokens=self.tokens + other.tokens,
            matched=self.matched + other.matched,
            leaking=self.leaking + other.leaking,
        )

    @property
    def coverage(self) -> float | None:
        """Share of the tokens that are matched; None of no tokens."""
        return self.matched / self.tokens if self.tokens else None

    @property
    def leak(self) -> float | None:
        """Share of the tokens that leak; None of no tokens."""
        return self.leaking / self.tokens if self.tokens else None


@dataclass(frozen=True, kw_only=True)
class AlignmentReport:
    """Counts over all tokens and over those that hold a digit; sums over texts by `+`."""

    all: AlignmentCounts = AlignmentCounts()
    digits: AlignmentCounts = AlignmentCounts()

    def compute_rates(self) -> dict[str, int | float | None]:
        """Tokens counted, and the shares matched and leaking, digits apart."""
        return {
            "tokens": self.all.tokens,
            "coverage": self.all.coverage,
            "leak": self.all.leak,
            "digit_tokens": self.digits.tokens,
            "digit_coverage": self.digits.coverage,
            "digit_leak": self.digits.leak,
        }

    def __add__(self, other: "AlignmentReport") -> "AlignmentReport":
        return AlignmentReport(all=self.all + other.all, digits=self.digits + other.digits)


def measure_alignment(
    student: Spans, teacher: Spans, links: TextLinks, text: bytes
) -> AlignmentReport:
    """The counts of one text, given in UTF-8."""
    has_text = student.ends > student.starts
    matched, leaking = np.zeros((2, len(has_text)), dtype=bool)
    matched[links.student] = True
    later = teacher.ends[links.teacher] > student.ends[links.student]
    leaking[links.student[later]] = True
    # Digits before each byte: a token holds one if that number grows over its span.
    before = np.append(0, np.isin(np.frombuffer(text, dtype=np.uint8), DIGITS).cumsum())
    has_digit = before[student.ends] > before[student.starts]

    def count(tokens: np.ndarray) -> AlignmentCounts:
        return AlignmentCounts(
            tokens=int(tokens.sum()),
            matched=int((tokens & matched).sum()),
            leaking=int((tokens & leaking).sum()),
        )

    return AlignmentReport(all=count(has_text), digits=count(has_text & has_digit))
