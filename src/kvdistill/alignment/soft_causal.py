"""As soft, but no teacher token may have read further than the student's.

Where one tokenizer packs digits and the other splits them, plain overlap shows the student a key
that encodes bytes it has not read: those links are dropped and the row renormalised.
"""

from dataclasses import dataclass

from kvdistill.alignment.base import Alignment, Spans, TextLinks, find_overlaps, normalise_weights


@dataclass(frozen=True, kw_only=True)
class SoftCausal(Alignment):
    """Links by byte overlap to the teacher tokens that end no later than the student's."""

    def __call__(self, student: Spans, teacher: Spans) -> TextLinks:
        """Rows sum to 1; a token whose every teacher token ends later has none."""
        i, j, shared = find_overlaps(student, teacher)
        # Dropped before normalising, so that the links left over sum to 1.
        past = teacher.ends[j] <= student.ends[i]
        return normalise_weights(i[past], j[past], shared[past])
