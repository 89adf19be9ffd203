"""Which teacher tokens lie under which student token, for one text.

Two tokenizers share no vocabulary, only the text, so byte positions in the UTF-8 text are the
coordinate. Links are built once a text, in numpy, and batched as `kvdistill.types.Links`.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from kvdistill.errors import UserError


@dataclass(frozen=True)
class Spans:
    """Half-open byte intervals of one text's tokens, in order and disjoint.

    An added special token is empty (start = end): it covers no text, so no overlap reaches it.
    BOS is linked to nothing, not to the other model's: it stands in one model or in both, says
    nothing of the text, and its K and V, an attention sink's, are the same before every text.
    """

    starts: Int[np.ndarray, " seq"]
    ends: Int[np.ndarray, " seq"]
    begin: int = 0
    """Special tokens before the text (BOS), where the tokenizer adds any."""

    def __post_init__(self) -> None:
        wrong = (self.ends < self.starts) | (self.starts < np.append(0, self.ends)[:-1])
        if wrong.any():
            at = int(wrong.argmax())
            raise UserError(
                f"token {at} covers bytes {self.starts[at]} to {self.ends[at]}, before the end of "
                f"the token ahead of it or of itself. Spans must be byte offsets, in order and "
                f"disjoint; character offsets repeat where a character is split."
            )


@dataclass(frozen=True)
class TextLinks:
    """Weighted pairs of one text, ordered by student token, then teacher token."""

    student: Int[np.ndarray, " links"]
    teacher: Int[np.ndarray, " links"]
    weight: Float[np.ndarray, " links"]
    """float32; the weights of one student token sum to 1."""


@dataclass(frozen=True, kw_only=True)
class Alignment(ABC):
    """Links a student's tokens to a teacher's. Knows nothing of KV, layers or loss."""

    @abstractmethod
    def __call__(self, student: Spans, teacher: Spans) -> TextLinks:
        """The links of one text; a student token without any is masked."""


Overlaps = tuple[Int[np.ndarray, " links"], Int[np.ndarray, " links"], Int[np.ndarray, " links"]]


def find_overlaps(student: Spans, teacher: Spans) -> Overlaps:
    """(student token, teacher token, bytes shared) of every overlapping pair, in order.

    Time and memory are linear in the bytes of the text.
    """
    size = max((int(s.ends[-1]) for s in (student, teacher) if len(s.ends)), default=0)
    # Each byte looks up its two tokens; a pair is then a run of equal lookups. Comparing tokens
    # with tokens instead would cost the product of their numbers.
    i, j = _assign_bytes(student, size), _assign_bytes(teacher, size)
    covered = (i >= 0) & (j >= 0)
    i, j = i[covered], j[covered]
    new = np.ones(len(i), dtype=bool)
    new[1:] = (i[1:] != i[:-1]) | (j[1:] != j[:-1])
    first = np.flatnonzero(new)
    return i[first], j[first], np.diff(first, append=len(i))


def normalise_weights(
    student: Int[np.ndarray, " links"],
    teacher: Int[np.ndarray, " links"],
    shared: Int[np.ndarray, " links"],
) -> TextLinks:
    """Weights in proportion to the bytes shared, of sum 1 for each student token."""
    # float64 up to here; batches hold float32.
    total = np.bincount(student, weights=shared)
    return TextLinks(student, teacher, (shared / total[student]).astype(np.float32))


def _assign_bytes(spans: Spans, size: int) -> Int[np.ndarray, " bytes"]:
    """The token that covers each byte; -1 where none does."""
    width = spans.ends - spans.starts
    token = np.full(size, -1)
    # 0, 1, ... within each token, one token after the other.
    inside = np.arange(width.sum()) - np.repeat(width.cumsum() - width, width)
    token[np.repeat(spans.starts, width) + inside] = np.repeat(np.arange(len(width)), width)
    return token
