"""Batches against literal loops; truncation; one dataset for arms with and without teachers."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch

from kvdistill.alignment.base import Alignment, TextLinks
from kvdistill.alignment.report import AlignmentReport, measure_alignment
from kvdistill.data.collate import Collator, TextDataset
from kvdistill.data.prompt_style import RenderedText
from kvdistill.data.tokenise import Tokeniser
from kvdistill.errors import ConfigError
from tests.data import factories


@dataclass(frozen=True, kw_only=True)
class LastByte(Alignment):
    """Links each student token to the teacher token that holds its last byte."""

    calls: ClassVar[list[int]] = []

    def __call__(self, student, teacher):
        self.calls.append(1)
        pairs = [
            (i, j)
            for i, (a, b) in enumerate(zip(student.starts, student.ends, strict=True))
            for j, (c, d) in enumerate(zip(teacher.starts, teacher.ends, strict=True))
            if a < b and c < b <= d
        ]
        links = np.array(pairs, dtype=np.int64).reshape(-1, 2)
        return TextLinks(links[:, 0], links[:, 1], np.ones(len(links), np.float32))


STUDENT = Tokeniser(factories.make_byte_level_tokenizer(), "student")
TEACHERS = {
    "a": Tokeniser(factories.make_byte_level_tokenizer(vocabulary=290), "teachers.a"),
    "b": Tokeniser(factories.make_byte_fallback_tokenizer(), "teachers.b"),
}
TEXTS = [
    RenderedText(id=f"{n}:s", task=f"t{n}", style="s", prompt=prompt, answer=answer)
    for n, (prompt, answer) in enumerate(
        [
            ("how many apples", " 7"),
            ("\u82f9\u679c", " 3 + 4 = 7"),
            ("x", ""),
            ("the basket?\n", "7"),
        ]
    )
]
PADS = {name: teacher.pad_token_id for name, teacher in TEACHERS.items()}


@pytest.fixture
def texts():
    return TextDataset(TEXTS, STUDENT, TEACHERS, LastByte(), 64)


def collate(texts, places, pads=PADS):
    return Collator(STUDENT.pad_token_id, pads)([texts[place] for place in places])


def test_tokens_are_padded_on_the_right_to_the_longest(texts):
    batch = collate(texts, [0, 2])
    long, short = (texts[place].student for place in (0, 2))
    assert batch.student.ids.tolist() == [
        long.ids.tolist(),
        short.ids.tolist() + [STUDENT.pad_token_id] * (len(long.ids) - len(short.ids)),
    ]
    assert batch.student.mask.sum(dim=1).tolist() == [len(long.ids), len(short.ids)]
    assert batch.student.mask[1].tolist() == sorted(batch.student.mask[1].tolist(), reverse=True)
    assert batch.student.answer[0].tolist() == long.answer.tolist()
    assert not (batch.student.answer & ~batch.student.mask).any()
    assert (batch.ids, batch.tasks) == (["0:s", "2:s"], ["t0", "t2"])


def test_links_point_at_flat_teacher_positions(texts):
    batch = collate(texts, [1, 0, 3])
    for name, reading in batch.teachers.items():
        links = reading.links
        assert links.teacher_seq == reading.tokens.ids.shape[1]
        assert links.student_seq == batch.student.ids.shape[1]
        assert links.weight.dtype == torch.float32
        ends = [*links.offsets.tolist()[1:], len(links.teacher_rows)]
        for sample, place in enumerate([1, 0, 3]):
            own = texts[place].teachers[name][1]
            for token in range(links.student_seq):
                row = sample * links.student_seq + token
                flat = links.teacher_rows[links.offsets[row] : ends[row]].tolist()
                expected = own.teacher[own.student == token]
                assert flat == [sample * links.teacher_seq + j for j in expected]


def test_links_bring_the_teachers_values_under_the_students_tokens(texts):
    batch = collate(texts, [0, 1])
    reading = batch.teachers["a"]
    moved = reading.links.apply(reading.tokens.ids.reshape(-1, 1).double())[:, :, 0]
    for sample, place in enumerate([0, 1]):
        read, links = texts[place].teachers["a"]
        for i, j in zip(links.student, links.teacher, strict=True):
            assert moved[sample, i] == read.ids[j]
    assert (moved[~reading.links.mask] == 0).all()


def test_links_are_built_once_a_text_and_a_teacher(texts):
    LastByte.calls.clear()
    for _ in range(3):
        collate(texts, [0, 1])
    assert len(LastByte.calls) == 2 * len(TEACHERS)


def test_arms_without_teachers_read_the_same_tokens(texts):
    alone = TextDataset(TEXTS, STUDENT, {}, None, 64)
    with_teachers, without = collate(texts, [3, 1]), collate(alone, [3, 1], pads={})
    assert torch.equal(with_teachers.student.ids, without.student.ids)
    assert without.teachers == {}
    assert with_teachers.ids == without.ids


def test_long_texts_are_cut_for_all_and_counted():
    texts = TextDataset(TEXTS, STUDENT, TEACHERS, LastByte(), 3)
    whole = TextDataset(TEXTS, STUDENT, TEACHERS, LastByte(), 64)
    lengths = [len(whole[place].student.ids) for place in range(len(TEXTS))]
    assert texts.count_truncated() == sum(length > 3 for length in lengths) > 0
    assert whole.count_truncated() == 0
    for place in range(len(TEXTS)):
        own, full = texts[place], whole[place]
        assert own.student.ids.tolist() == full.student.ids[:3].tolist()
        last = own.student.spans.ends[-1]
        for name in TEACHERS:
            read, every = own.teachers[name][0], full.teachers[name][0]
            if own.student.truncated:
                assert read.spans.starts[-1] < last <= read.spans.ends[-1]
            else:
                assert len(read.ids) == len(every.ids)


def test_texts_cut_before_their_answer_are_counted():
    texts = TextDataset(TEXTS, STUDENT, {}, None, 2)
    assert texts.count_unanswered() == sum(
        not texts[place].student.answer.any() for place in range(len(TEXTS))
    )
    assert texts.count_unanswered() > 0


def test_lengths_are_bytes_whatever_the_tokenizer(texts):
    assert texts.byte_lengths == [len(text.text.encode()) for text in TEXTS]
    assert len(texts) == len(TEXTS)


def test_refusals():
    with pytest.raises(ConfigError, match="no texts"):
        TextDataset([], STUDENT, {}, None, 64)
    with pytest.raises(ConfigError, match=r"budget\.seq_len must be at least 2, got 1"):
        TextDataset(TEXTS, STUDENT, {}, None, 1)


def test_a_teachers_alignment_is_reported_over_the_texts_asked_for(texts):
    reports = texts.report_alignment([0, 1])
    assert reports.keys() == TEACHERS.keys()
    for name, total in reports.items():
        by_hand = AlignmentReport()
        for row in (0, 1):
            own, (theirs, links) = texts[row].student, texts[row].teachers[name]
            by_hand += measure_alignment(own.spans, theirs.spans, links, TEXTS[row].text.encode())
        assert total == by_hand
        assert 0 < total.digits.tokens < total.all.tokens
    assert texts.report_alignment([0])["a"] != reports["a"]
    assert TextDataset(TEXTS, STUDENT, {}, None, 64).report_alignment([0]) == {}
