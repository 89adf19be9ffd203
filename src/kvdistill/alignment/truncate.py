"""Token i of the text to token i of the text, up to the shorter of the two: the naive control.

BOS is no token of the text: where one tokenizer adds it, nothing is shifted.

The study's alignment before soft alignment; right only for equal tokenizers.
"""

from dataclasses import dataclass

import numpy as np

from kvdistill.alignment.base import Alignment, Spans, TextLinks


@dataclass(frozen=True, kw_only=True)
class Truncate(Alignment):
    """Links equal indices, whatever text they cover; the longer side's rest has no link."""

    def __call__(self, student: Spans, teacher: Spans) -> TextLinks:
        """One link a row, of weight 1."""
        tokens = (len(student.starts) - student.begin, len(teacher.starts) - teacher.begin)
        index = np.arange(min(tokens))
        return TextLinks(
            index + student.begin, index + teacher.begin, np.ones(len(index), dtype=np.float32)
        )
