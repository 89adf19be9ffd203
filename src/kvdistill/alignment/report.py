"""How much of a text its alignment covers, and how much of the future it shows; digits apart.

A digit mismatch is what ruins arithmetic (one tokenizer splits numbers, the other packs them), so
tokens that hold a digit are counted a second time.
"""

from dataclasses import dataclass

import numpy as np

from kvdistill.alignment.base import Spans, TextLinks

DIGITS = np.frombuffer(b"0123456789", dtype=np.uint8)


@dataclass(frozen=True, kw_only=True)
class AlignmentCounts:
    """Student tokens with text; special tokens are not counted."""

    tokens: int = 0
    matched: int = 0
    """With at least one link."""
    leaking: int = 0
    """Of the matched: linked to a teacher token that ends later, so has read further."""

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
    # Digits before each byte: a token holds one if the count grows over its span.
    before = np.append(0, np.isin(np.frombuffer(text, dtype=np.uint8), DIGITS).cumsum())
    digit = before[student.ends] > before[student.starts]

    def counts(among: np.ndarray) -> AlignmentCounts:
        return AlignmentCounts(
            tokens=int(among.sum()),
            matched=int((among & matched).sum()),
            leaking=int((among & leaking).sum()),
        )

    return AlignmentReport(all=counts(has_text), digits=counts(has_text & digit))
