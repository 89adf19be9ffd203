"""Token i of the text to token i of the text, masked where the two share no byte.

Padding the shorter side and masking the padding alone would be truncate again, as a masked token
enters no loss; here the mask also covers pairs that have drifted apart.
"""

from dataclasses import dataclass

import numpy as np

from kvdistill.alignment.base import Alignment, Spans, TextLinks


@dataclass(frozen=True, kw_only=True)
class PadMask(Alignment):
    """Links equal indices whose byte spans overlap."""

    def __call__(self, student: Spans, teacher: Spans) -> TextLinks:
        """At most one link a row, of weight 1."""
        # BOS is no token of the text: where one tokenizer adds it, nothing is shifted.
        own, other = student.begin, teacher.begin
        both = min(len(student.starts) - own, len(teacher.starts) - other)
        starts = np.maximum(student.starts[own:][:both], teacher.starts[other:][:both])
        ends = np.minimum(student.ends[own:][:both], teacher.ends[other:][:both])
        # Strictly: a special token is empty and shares no byte, also with another empty one.
        index = np.flatnonzero(starts < ends)
        return TextLinks(index + own, index + other, np.ones(len(index), dtype=np.float32))
