"""Distributions over two vocabularies, compared over chunks of text that both spell out.

A chunk lies between neighbouring byte boundaries that both tokenizations have
(data/text_chunks.py). Of its outcomes (logits/chunk_outcomes.py) those with a name in both
vocabularies are matched, as in TRL's GOLDTrainer; the rest are compared by their sorted masses
(ULD, arXiv 2402.12030).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from kvdistill.errors import ConfigError
from kvdistill.logits.answer_logits import AnswerLogits, TeacherLogits
from kvdistill.logits.base import LogitDistance
from kvdistill.logits.chunk_outcomes import (
    ChunkOutcomes,
    ChunkTokens,
    measure_sorted_masses,
    read_outcomes,
)
from kvdistill.logits.same import Same, has_same_tokens
from kvdistill.logits.shared_tokens import SideTokens, match_tokens
from kvdistill.logits.teacher_mix import TeacherWeights
from kvdistill.logits.vocabulary import Part, TokenTable, Vocabulary
from kvdistill.plan.resources.run_memory import PART_LOGITS
from kvdistill.types import move_to_device


class ByChunks(Vocabulary):
    """For each chunk the distance of its matched outcomes, and that of its sorted rest.

    A chunk's distance is divided evenly among its student tokens: a sum over tokens is one over
    chunks, by the chain rule that of the whole answer.
    """

    shared: ClassVar[bool] = False

    def __init__(
        self,
        *,
        student: TokenTable,
        teachers: Mapping[str, TokenTable],
        rest_weight: float,
        rest_top: int,
    ) -> None:
        """Raises ConfigError for a weight below 0, and for no largest masses."""
        if not 0 <= rest_weight < float("inf"):
            raise ConfigError(f"logits.vocabulary.rest_weight={rest_weight} must be 0 or more.")
        if rest_top < 1:
            raise ConfigError(f"logits.vocabulary.rest_top={rest_top} must be at least 1.")
        self.rest_weight, self.rest_top = rest_weight, rest_top
        self.tables = {name: match_tokens(student, table) for name, table in teachers.items()}
        self.same = {
            name: Same(student=student, teachers={name: table})
            for name, table in teachers.items()
            if has_same_tokens(student, table)
        }

    def find_covered(
        self, student: AnswerLogits, teacher: TeacherLogits
    ) -> Bool[Tensor, " predicted"]:
        """Those that lie in a chunk."""
        assert teacher.student_chunk is not None
        return teacher.student_chunk >= 0

    def iterate_parts(
        self,
        distance: LogitDistance,
        student: AnswerLogits,
        teachers: Mapping[str, TeacherLogits],
        weights: TeacherWeights,
    ) -> Iterator[Part]:
        [(name, teacher)] = teachers.items()
        if name in self.same and torch.equal(student.labels, teacher.labels):
            # Every chunk is one token, and all its outcomes are shared.
            yield from self.same[name].iterate_parts(distance, student, teachers, weights)
            return
        assert teacher.student_chunk is not None
        assert teacher.chunk is not None
        tables = move_to_device(self.tables[name], student.labels.device)
        self.tables[name] = tables
        vocabulary = max(len(tables.student.column), len(tables.teacher.column))
        numbers, others = teacher.student_chunk.cpu().numpy(), teacher.chunk.cpu().numpy()
        size = max(1, PART_LOGITS // vocabulary)
        for rows, other_rows in split_at_chunks(numbers, others, size):
            own = ChunkTokens.from_numbers(student.labels[rows], numbers[rows])
            other = ChunkTokens.from_numbers(teacher.labels[other_rows], others[other_rows])
            columns = (
                tables.student.column[own.first_labels],
                tables.teacher.column[other.first_labels],
            )
            with torch.no_grad():
                logits = teacher.score_rows(teacher.hidden[other_rows])
                log_probs = distance.soften(fit_width(logits, len(tables.teacher.column)))
                target = read_outcomes(log_probs, other, tables.teacher, columns[::-1])
            taught = weights[0, rows] > 0
            yield Part(
                rows,
                ChunkComparison(self, distance, own, tables.student, columns, target, taught),
            )

    def measure_chunks(
        self, distance: LogitDistance, own: ChunkOutcomes, target: ChunkOutcomes
    ) -> Float[Tensor, " chunks"]:
        """The distance of each chunk, in nats, and the rest's, weighted."""
        # As logits: log-probabilities are their own softmax once the temperature is undone. The
        # rest's gradient falls by one temperature only, not by two.
        matched = distance.measure_tokens(own.log_probs * distance.temperature, target.log_probs)
        rest = measure_sorted_masses(own.rest, target.rest, self.rest_top)
        return matched + self.rest_weight * distance.temperature * rest


@dataclass(frozen=True)
class ChunkComparison:
    """Compares the student with a target at the tokens of some chunks."""

    vocabulary: ByChunks
    distance: LogitDistance
    tokens: ChunkTokens
    side: SideTokens
    columns: tuple[Int[Tensor, " chunks"], Int[Tensor, " chunks"]]
    target: ChunkOutcomes
    taught: Bool[Tensor, " some"]
    """Where the teacher has a weight."""

    def __call__(self, logits: Float[Tensor, "some vocab"]) -> Float[Tensor, " some"]:
        """Each token's share of its chunk's distance; 0 outside chunks."""
        log_probs = self.distance.soften(fit_width(logits, len(self.side.column)))
        outcomes = read_outcomes(log_probs, self.tokens, self.side, self.columns)
        sizes = self.tokens.sum_over_chunks(torch.ones_like(self.taught, dtype=torch.float32))
        apart = self.vocabulary.measure_chunks(self.distance, outcomes, self.target) / sizes
        return apart[self.tokens.chunk].masked_fill(~(self.tokens.inside & self.taught), 0)


def fit_width(logits: Float[Tensor, "some width"], vocabulary: int) -> Float[Tensor, "some vocab"]:
    """Logits of the tokenizer's tokens alone; one that the model cannot write is excluded."""
    # Where the layer is wider this is a negative pad, which crops.
    return F.pad(logits, (0, vocabulary - logits.shape[1]), value=-torch.inf)


def split_at_chunks(
    student: Int[np.ndarray, " predicted"],
    teacher: Int[np.ndarray, " teacher_predicted"],
    size: int,
) -> Iterator[tuple[slice, slice]]:
    """(rows of the student, rows of the teacher) of whole chunks, at most `size` rows of each.

    A longer chunk stands alone. `student` and `teacher` number the chunk of each token, ascending,
    with -1 between them for none; a chunk's tokens are neighbours.
    """
    sides = []
    for side in (student, teacher):
        numbers, begin, count = np.unique(side, return_index=True, return_counts=True)
        sides.append((begin[numbers >= 0], (begin + count)[numbers >= 0]))
    first, chunks = 0, len(sides[0][0])
    while first < chunks:
        # Chunks whose end lies within reach of the first one's beginning.
        fitting = [int(np.searchsorted(end, begin[first] + size, "right")) for begin, end in sides]
        behind = max(first + 1, min(fitting))
        rows, other_rows = (slice(int(begin[first]), int(end[behind - 1])) for begin, end in sides)
        yield rows, other_rows
        first = behind
