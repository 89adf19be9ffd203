"""Each student token reads the teacher tokens that share bytes with it, by their share.

A_ij = |span_s(i) & span_t(j)| / sum_j' |span_s(i) & span_t(j')|, rows without overlap masked.
Bytes, not characters: the pieces of a byte-split character share one character offset.
"""

from dataclasses import dataclass

from kvdistill.alignment.base import Alignment, Spans, TextLinks, find_overlaps, normalise_weights


@dataclass(frozen=True, kw_only=True)
class Soft(Alignment):
    """Links by byte overlap. A teacher token may end after the student's: see soft_causal."""

    def __call__(self, student: Spans, teacher: Spans) -> TextLinks:
        """Rows sum to 1; a token without bytes has none."""
        return normalise_weights(*find_overlaps(student, teacher))
