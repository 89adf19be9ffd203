"""Chunks between shared byte boundaries, against a walk through both tokenizations."""

import numpy as np
import pytest

from kvdistill.alignment.base import Spans
from kvdistill.data.collate import Collator, TextDataset
from kvdistill.data.prompt_style import RenderedText
from kvdistill.data.text_chunks import NO_CHUNK, find_chunks
from kvdistill.data.tokenise import TokenisedText, Tokeniser
from tests.data import factories
from tests.data.test_collate import LastByte

STUDENT = Tokeniser(factories.make_byte_level_tokenizer(), "student")
TEACHERS = {
    "a": Tokeniser(factories.make_byte_level_tokenizer(vocabulary=290), "teachers.a"),
    "b": Tokeniser(factories.make_byte_fallback_tokenizer(), "teachers.b"),
}
TEXTS = [
    RenderedText(id=f"{n}:s", task="t", style="s", prompt=prompt, answer=answer)
    for n, (prompt, answer) in enumerate(
        [("how many apples", " 7"), ("\u82f9", " 3 + 4 = 7 apples"), ("x", ""), ("", "the basket")]
    )
]


def make_text(*pieces, prompt=0, begin=0, truncated=False):
    """A text whose tokens have these lengths in bytes; the end of text behind it unless cut."""
    ends = np.cumsum([0] * begin + list(pieces) + ([] if truncated else [0]))
    starts = np.append(0, ends[:-1])
    answer = ends > prompt
    if not truncated:
        answer[-1] = True
    ids = np.arange(len(ends))
    return TokenisedText(
        ids=ids, answer=answer, spans=Spans(starts, ends, begin), truncated=truncated
    )


def walk_chunks(student, teacher):
    """Pairs (tokens of the student, tokens of the teacher) that spell the same bytes."""
    pairs, i, j, own, other = [], 0, 0, [], []
    # The end of text covers no byte: as if it were one more.
    ends = [
        [*text.spans.ends[:-1], text.spans.ends[-1] + (not text.truncated)]
        for text in (student, teacher)
    ]
    while i < len(student.ids) or j < len(teacher.ids):
        if j == len(teacher.ids) or (i < len(student.ids) and ends[0][i] <= ends[1][j]):
            own.append(i)
            i += 1
        else:
            other.append(j)
            j += 1
        if own and other and ends[0][own[-1]] == ends[1][other[-1]]:
            pairs.append((own, other))
            own, other = [], []
    return [
        pair
        for pair in pairs
        if all(text.answer[t] and t > 0 for text, side in zip((student, teacher), pair, strict=True)
               for t in side)
    ]  # fmt: skip


def list_pairs(chunks):
    numbers = sorted(set(chunks.student.tolist()) - {NO_CHUNK})
    assert numbers == sorted(set(chunks.teacher.tolist()) - {NO_CHUNK})
    return [
        (np.flatnonzero(chunks.student == n).tolist(), np.flatnonzero(chunks.teacher == n).tolist())
        for n in numbers
    ]


def test_chunks_are_those_of_a_walk_through_two_tokenizations():
    student, teacher = make_text(4, 1, 1, 2, 3, prompt=4), make_text(4, 2, 1, 1, 1, 2, prompt=4)
    assert list_pairs(find_chunks(student, teacher)) == walk_chunks(student, teacher)
    assert list_pairs(find_chunks(student, teacher)) == [
        ([1, 2], [1]), ([3], [2, 3]), ([4], [4, 5]), ([5], [6])
    ]  # fmt: skip


def test_a_chunk_that_reaches_into_the_prompt_is_none():
    student, teacher = make_text(4, 2, 3, prompt=4), make_text(3, 3, 3, prompt=4)
    assert list_pairs(find_chunks(student, teacher)) == [([2], [2]), ([3], [3])]


def test_the_first_token_is_predicted_by_none():
    both = make_text(2, 2)
    assert list_pairs(find_chunks(both, both)) == [([1], [1]), ([2], [2])]


def test_bos_shifts_nothing_and_is_in_no_chunk():
    student, teacher = make_text(2, 2), make_text(2, 2, begin=1)
    assert list_pairs(find_chunks(student, teacher)) == [([1], [2]), ([2], [3])]
    # With it the first token of the text has a predecessor, but only in one of the two.
    assert find_chunks(teacher, teacher).student.tolist() == [NO_CHUNK, 0, 1, 2]


def test_texts_that_were_cut_end_at_their_last_shared_boundary():
    student, teacher = make_text(2, 2, truncated=True), make_text(2, 1, 3, truncated=True)
    chunks = find_chunks(student, teacher)
    assert list_pairs(chunks) == []
    chunks = find_chunks(student, make_text(2, 1, 1, truncated=True))
    assert list_pairs(chunks) == [([1], [1, 2])]


@pytest.mark.parametrize("name", TEACHERS)
def test_a_batch_holds_the_chunks_of_its_texts_under_numbers_that_ascend(name):
    texts = TextDataset(TEXTS, STUDENT, TEACHERS, LastByte(), 64, reads_chunks=True)
    pads = {name: teacher.pad_token_id for name, teacher in TEACHERS.items()}
    examples = [texts[i] for i in range(len(TEXTS))]
    batch = Collator(STUDENT.pad_token_id, pads)(examples)
    reading = batch.teachers[name]
    found = [
        (
            [tuple(place) for place in (reading.chunks.student == n).nonzero().tolist()],
            [tuple(place) for place in (reading.chunks.teacher == n).nonzero().tolist()],
        )
        for n in reading.chunks.student.unique().tolist()
        if n != NO_CHUNK
    ]
    expected = [
        ([(row, t) for t in own], [(row, t) for t in other])
        for row, example in enumerate(examples)
        for own, other in list_pairs(find_chunks(example.student, example.teachers[name][0]))
    ]
    assert found == expected
    assert len(found) > len(TEXTS)


def test_without_being_asked_no_chunks_are_made():
    texts = TextDataset(TEXTS, STUDENT, TEACHERS, LastByte(), 64)
    pads = {name: teacher.pad_token_id for name, teacher in TEACHERS.items()}
    batch = Collator(STUDENT.pad_token_id, pads)([texts[0]])
    assert batch.teachers["a"].chunks is None
