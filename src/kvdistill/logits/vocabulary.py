"""How a student's next-token distribution is compared with one over another vocabulary."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Bool, Float
from torch import Tensor

from kvdistill.logits.answer_logits import AnswerLogits, TeacherLogits
from kvdistill.logits.base import LogitDistance
from kvdistill.logits.teacher_mix import Weights

TokenBytes = Sequence[bytes | None]
"""By token id the bytes that it stands for (data/tokenise.py: Tokeniser.token_bytes)."""


@dataclass(frozen=True)
class Part:
    """Some of the student's predicted tokens, and what compares them with their target."""

    rows: slice
    compare: Callable[[Float[Tensor, "some vocab"]], Float[Tensor, " some"]]
    """From the student's logits at these rows to their weighted distances."""


class Vocabulary(ABC):
    """Compares a student with teachers, given the bytes of all their tokens."""

    shared: ClassVar[bool]
    """Whether teachers have the student's vocabulary, so that their distributions can be mixed."""

    @abstractmethod
    def __init__(self, *, student: TokenBytes, teachers: Mapping[str, TokenBytes]) -> None:
        """Raises ConfigError, naming the teacher, for a vocabulary that it cannot compare."""

    @abstractmethod
    def find_covered(
        self, student: AnswerLogits, teacher: TeacherLogits
    ) -> Bool[Tensor, " predicted"]:
        """Which of the student's predicted tokens the teacher says something of."""

    @abstractmethod
    def iterate_parts(
        self,
        distance: LogitDistance,
        student: AnswerLogits,
        teachers: Mapping[str, TeacherLogits],
        weights: Weights,
    ) -> Iterator[Part]:
        """The student's tokens, a few at a time, so that a few logits are there at once.

        They are compared with the mixture of the teachers, which is one teacher alone where the
        vocabulary is not `shared`. A token where no teacher has a weight has distance 0.
        """
