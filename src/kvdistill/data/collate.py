"""The dataset of tokenised texts and their collator.

Every arm trains on the same texts in the same order through this one dataset: which text comes
when is decided by `data.sampler` alone. Links between student and teacher tokens are sparse and
built once a text.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch.utils.data import Dataset

from kvdistill.alignment.base import Alignment, TextLinks
from kvdistill.alignment.report import AlignmentReport, measure_alignment
from kvdistill.data.packing import Packing
from kvdistill.data.prompt_style import RenderedText
from kvdistill.data.text_chunks import TextChunks, collate_chunks, find_chunks
from kvdistill.data.tokenise import TokenisedText, Tokeniser
from kvdistill.data.truncation import Truncation
from kvdistill.errors import ConfigError
from kvdistill.types import Batch, Links, TeacherInputs, Tokens


@dataclass(frozen=True)
class Example:
    """One text, tokenised by the student and by each teacher, with the links between the two."""

    id: str
    task: str
    student: TokenisedText
    teachers: dict[str, tuple[TokenisedText, TextLinks]]
    chunks: dict[str, TextChunks] = field(default_factory=dict)
    """By teacher, where distributions over its vocabulary and the student's are compared."""


class TextDataset(Dataset[Example]):
    """Rendered texts, tokenised once by the student and each teacher."""

    def __init__(
        self,
        texts: Sequence[RenderedText],
        student: Tokeniser,
        teachers: Mapping[str, Tokeniser],
        alignment: Alignment | None,
        seq_len: int,
        reads_chunks: bool = False,
    ) -> None:
        """Tokenises all `texts`. Raises ConfigError for none, and for a `seq_len` below 2.

        `alignment` may be None where no example is read: without teachers, or where only
        `get_teacher_tokens` is used. A text longer than `seq_len` student tokens is truncated
        there, and the teachers stop at the token that holds the student's last byte.
        `reads_chunks` has examples say which tokens of student and teachers spell the same bytes.
        """
        if not texts:
            raise ConfigError("data gives no texts to read. Check data.source and style.")
        if seq_len < 2:
            raise ConfigError(f"budget.seq_len must be at least 2, got {seq_len}.")
        self.texts, self.alignment = list(texts), alignment
        self.student_tokeniser, self.teacher_tokenisers = student, dict(teachers)
        self.seq_len = seq_len
        # By identity: models that share a `Tokeniser` object share its pass over the texts.
        tokenisers = {id(tokeniser): tokeniser for tokeniser in (student, *teachers.values())}
        tokenised = {key: tokeniser(texts) for key, tokeniser in tokenisers.items()}
        self._student = [text.truncate(seq_len) for text in tokenised[id(student)]]
        self._teachers = {
            name: [
                _truncate_to_student(text, student_text)
                for text, student_text in zip(tokenised[id(teacher)], self._student, strict=True)
            ]
            for name, teacher in teachers.items()
        }
        self._links: dict[tuple[str, int], TextLinks] = {}
        self._reads_chunks = reads_chunks

    def read_alike(self, texts: Sequence[RenderedText]) -> "TextDataset":
        """Other texts, by the same tokenizers and alignment, up to the same length."""
        return TextDataset(
            texts, self.student_tokeniser, self.teacher_tokenisers, self.alignment, self.seq_len
        )

    def count_truncated(self) -> int:
        """Number of texts truncated at `seq_len`."""
        return sum(text.truncated for text in self._student)

    def count_unanswered(self) -> int:
        """Number of texts truncated before their answer begins: none of their tokens has a loss."""
        return sum(not text.answer.any() for text in self._student)

    def measure_truncation(self) -> Truncation:
        """How much of the texts is lost to `seq_len`."""
        return Truncation(len(self), self.count_truncated(), self.count_unanswered())

    @property
    def digest(self) -> str:
        """Twelve hex digits of sha256 over ids and texts: equal for arms that train on the same."""
        digest = hashlib.sha256()
        for text in self.texts:
            digest.update(f"{text.id}\0{text.text}\0".encode())
        return digest.hexdigest()[:12]

    @property
    def byte_lengths(self) -> list[int]:
        """Bytes of each text: the one length that is the same for every arm and tokenizer."""
        return [len(text.text.encode()) for text in self.texts]

    @property
    def token_lengths(self) -> list[int]:
        """Student tokens of each text, as far as it is read."""
        return [len(text.ids) for text in self._student]

    def get_teacher_tokens(self, teacher: str) -> list[TokenisedText]:
        """Every text as that teacher's tokenizer gives it, in order."""
        return self._teachers[teacher]

    def report_alignment(self, rows: Sequence[int]) -> dict[str, AlignmentReport]:
        """By teacher, how much of the texts at `rows` its alignment covers, and how much leaks."""
        return {
            name: sum(
                (
                    measure_alignment(
                        self._student[row].spans,
                        teacher_texts[row].spans,
                        self._get_links(name, row),
                        self.texts[row].text.encode(),
                    )
                    for row in rows
                ),
                start=AlignmentReport(),
            )
            for name, teacher_texts in self._teachers.items()
        }

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, index: int) -> Example:
        text = self.texts[index]
        return Example(
            id=text.id,
            task=text.task,
            student=self._student[index],
            teachers={
                name: (teacher_texts[index], self._get_links(name, index))
                for name, teacher_texts in self._teachers.items()
            },
            chunks={
                name: find_chunks(self._student[index], teacher_texts[index])
                for name, teacher_texts in self._teachers.items()
                if self._reads_chunks
            },
        )

    def _get_links(self, name: str, index: int) -> TextLinks:
        # Built on first use and kept: later epochs read the same text again.
        if (name, index) not in self._links:
            assert self.alignment is not None, "teachers are read through an alignment"
            self._links[name, index] = self.alignment(
                self._student[index].spans, self._teachers[name][index].spans
            )
        return self._links[name, index]


def _truncate_to_student(teacher: TokenisedText, student: TokenisedText) -> TokenisedText:
    """The teacher's tokens that begin before the end of the student's last token."""
    # The search would drop the EOS of a whole text, which begins where the text ends.
    if not student.truncated:
        return teacher
    return teacher.truncate(int(np.searchsorted(teacher.spans.starts, student.spans.ends[-1])))


@dataclass(frozen=True)
class Collator:
    """Makes a batch: pads on the right to the longest text of the batch, and masks the padding."""

    student_pad_id: int
    teacher_pad_ids: Mapping[str, int]
    packing: Packing | None = None
    """How each model's tokens share rows where it computes them; None: a row a text."""

    def __call__(self, examples: Sequence[Example]) -> Batch:
        """The batch, its rows in the order of `examples`."""
        # The student's side first: its padded length lays out the teachers' links.
        student = pad_tokens([example.student for example in examples], self.student_pad_id)
        teachers = {
            name: _collate_teacher(
                [example.teachers[name] for example in examples],
                [example.chunks[name] for example in examples if name in example.chunks],
                student,
                pad_id,
            )
            for name, pad_id in self.teacher_pad_ids.items()
        }
        batch = Batch(
            student=student,
            teachers=teachers,
            ids=[example.id for example in examples],
            tasks=[example.task for example in examples],
        )
        return batch if self.packing is None else self.pack_batch(batch, self.packing)

    def pack_batch(self, batch: Batch, packing: Packing) -> Batch:
        """The same batch, each model's tokens in rows of their own: lengths differ by tokenizer."""
        return replace(
            batch,
            student=packing.pack_tokens(batch.student, self.student_pad_id),
            teachers={
                name: replace(
                    reading,
                    tokens=packing.pack_tokens(reading.tokens, self.teacher_pad_ids[name]),
                )
                for name, reading in batch.teachers.items()
            },
        )


def pad_tokens(texts: Sequence[TokenisedText], pad_id: int) -> Tokens:
    """The texts as rows of one batch, `pad_id` behind the shorter ones."""
    lengths = np.array([len(text.ids) for text in texts])
    mask = np.arange(lengths.max()) < lengths[:, None]
    ids, answer = np.full(mask.shape, pad_id, dtype=np.int64), np.zeros_like(mask)
    # A boolean index fills row by row, so the texts' tokens land in order, one text a row.
    ids[mask] = np.concatenate([text.ids for text in texts])
    answer[mask] = np.concatenate([text.answer for text in texts])
    return Tokens(torch.from_numpy(ids), torch.from_numpy(mask), torch.from_numpy(answer))


def _collate_teacher(
    texts_and_links: Sequence[tuple[TokenisedText, TextLinks]],
    chunks: Sequence[TextChunks],
    student: Tokens,
    pad_id: int,
) -> TeacherInputs:
    """A teacher's side of the batch; `student` is its student's side, already padded.

    `chunks` are those of all texts, or none.
    """
    tokens = pad_tokens([text for text, _ in texts_and_links], pad_id)
    widths = student.ids.shape[1], tokens.ids.shape[1]
    return TeacherInputs(
        tokens,
        flatten_links([links for _, links in texts_and_links], *widths),
        collate_chunks(chunks, *widths) if chunks else None,
    )


def flatten_links(links: Sequence[TextLinks], student_seq: int, teacher_seq: int) -> Links:
    """The links of a batch, over its padded and flattened tokens; padding has none."""
    # Row i * student_seq + t is token t of text i. TextLinks are ordered by student token, so
    # counting the links of each row is enough to know where they start.
    student = [each.student + sample * student_seq for sample, each in enumerate(links)]
    teacher = [each.teacher + sample * teacher_seq for sample, each in enumerate(links)]
    counts = np.bincount(np.concatenate(student), minlength=len(links) * student_seq)
    return Links(
        teacher_rows=torch.from_numpy(np.concatenate(teacher).astype(np.int64)),
        weight=torch.from_numpy(np.concatenate([each.weight for each in links]).astype(np.float32)),
        offsets=torch.from_numpy((np.cumsum(counts) - counts).astype(np.int64)),
        student_seq=student_seq,
        teacher_seq=teacher_seq,
    )
