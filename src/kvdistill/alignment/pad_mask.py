"""Token i to token i, masked where the two share no byte.

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
        both = min(len(student.starts), len(teacher.starts))
        starts = np.maximum(student.starts[:both], teacher.starts[:both])
        ends = np.minimum(student.ends[:both], teacher.ends[:both])
        # Strictly: a special token is empty and shares no byte, also with another empty one.
        index = np.flatnonzero(starts < ends)
        return TextLinks(index, index, np.ones(len(index), dtype=np.float32))
