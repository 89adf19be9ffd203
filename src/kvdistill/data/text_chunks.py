"""Pieces of a text between the byte boundaries that two tokenizations share.

At such a boundary both models have read the same bytes, so what they say of the bytes up to the
next one can be compared, however many tokens each needs for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int

from kvdistill.data.tokenise import TokenisedText
from kvdistill.types import Chunks

NO_CHUNK = -1


@dataclass(frozen=True)
class TextChunks:
    """For each token of one text the number of its chunk, ascending; NO_CHUNK for none.

    Both sides have tokens of every number, and all tokens of a chunk are the answer's.
    """

    student: Int[np.ndarray, " student_seq"]
    teacher: Int[np.ndarray, " teacher_seq"]


def find_chunks(student: TokenisedText, teacher: TokenisedText) -> TextChunks:
    """The chunks of the answer; where both texts are whole, the last is the two ends of text."""
    shared = np.intersect1d(_list_ends(student), _list_ends(teacher))
    numbers = _number_tokens(student, shared), _number_tokens(teacher, shared)
    # A chunk that reaches into the prompt is not predicted as a whole.
    kept = np.ones(len(shared) + 1, dtype=bool)
    for text, number in zip((student, teacher), numbers, strict=True):
        predicted = text.answer & (np.arange(len(text.ids)) > 0)
        kept[number[(number >= 0) & ~predicted]] = False
    kept &= np.isin(np.arange(len(kept)), np.intersect1d(numbers[0], numbers[1]))
    student_chunks, teacher_chunks = (
        np.where((number >= 0) & kept[number], number, NO_CHUNK) for number in numbers
    )
    return TextChunks(student_chunks, teacher_chunks)


def collate_chunks(texts: Sequence[TextChunks], student_seq: int, teacher_seq: int) -> Chunks:
    """The chunks of a batch, padded with NO_CHUNK and numbered on from text to text."""
    student = np.full((len(texts), student_seq), NO_CHUNK, dtype=np.int64)
    teacher = np.full((len(texts), teacher_seq), NO_CHUNK, dtype=np.int64)
    first = 0
    for row, text in enumerate(texts):
        for into, numbers in ((student, text.student), (teacher, text.teacher)):
            into[row, : len(numbers)] = np.where(numbers >= 0, numbers + first, NO_CHUNK)
        first += int(max(text.student.max(initial=NO_CHUNK), 0)) + 1
    return Chunks(torch.from_numpy(student), torch.from_numpy(teacher))


def _list_ends(text: TokenisedText) -> Int[np.ndarray, " boundaries"]:
    """Where its tokens end that cover text."""
    return text.spans.ends[text.spans.ends > text.spans.starts]


def _number_tokens(
    text: TokenisedText, shared: Int[np.ndarray, " boundaries"]
) -> Int[np.ndarray, " seq"]:
    """The number of the shared boundary that each token leads up to; NO_CHUNK behind the last.

    A token without bytes leads up to the boundary behind it; the end of text has a number of its
    own, BOS none.
    """
    starts, ends = text.spans.starts, text.spans.ends
    empty = starts == ends
    number = np.where(
        empty, np.searchsorted(shared, ends, side="right"), np.searchsorted(shared, ends)
    )
    number[number >= len(shared)] = NO_CHUNK
    number[: text.spans.begin] = NO_CHUNK
    if not text.truncated:
        number[-1] = len(shared)
    return number
