"""Only where both tokenizations have a common boundary, so that both models have read the same.

Synchronisation points of DPCA (arXiv 2606.09456): the decoded prefixes are equal there.
"""

from dataclasses import dataclass

import numpy as np

from kvdistill.alignment.base import Alignment, Spans, TextLinks


@dataclass(frozen=True, kw_only=True)
class Sync(Alignment):
    """Links a student token to the teacher token that ends at the same byte."""

    def __call__(self, student: Spans, teacher: Spans) -> TextLinks:
        """At most one link a row, of weight 1."""
        # Special tokens are empty: their ends repeat a neighbour's and would match it.
        i = np.flatnonzero(student.ends > student.starts)
        j = np.flatnonzero(teacher.ends > teacher.starts)
        _, in_student, in_teacher = np.intersect1d(
            student.ends[i], teacher.ends[j], assume_unique=True, return_indices=True
        )
        return TextLinks(i[in_student], j[in_teacher], np.ones(len(in_student), dtype=np.float32))
