"""How a student's next-token distribution is compared with one over another vocabulary."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Bool, Float
from torch import Tensor

from kvdistill.data.tokenise import Tokeniser
from kvdistill.logits.answer_logits import AnswerLogits, TeacherLogits
from kvdistill.logits.base import LogitDistance
from kvdistill.logits.teacher_mix import TeacherWeights


@dataclass(frozen=True)
class TokenTable:
    """A model's vocabulary, as its tokenizer has it."""

    token_bytes: Sequence[bytes | None]
    """By id the bytes that a token stands for; None where that is unknown."""
    eos_token_id: int

    @classmethod
    def from_tokeniser(cls, tokeniser: Tokeniser) -> "TokenTable":
        """Of one model's tokenizer."""
        return cls(tokeniser.token_bytes, tokeniser.eos_token_id)


@dataclass(frozen=True)
class Part:
    """Some of the student's predicted tokens, and what compares them with their target."""

    rows: slice
    compare: Callable[[Float[Tensor, "some vocab"]], Float[Tensor, " some"]]
    """From the student's logits at these rows to their weighted distances."""


class Vocabulary(ABC):
    """Compares a student with teachers, given all their vocabularies."""

    shared: ClassVar[bool]
    """Whether teachers have the student's vocabulary, so that their distributions can be mixed."""

    @abstractmethod
    def __init__(self, *, student: TokenTable, teachers: Mapping[str, TokenTable]) -> None:
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
        weights: TeacherWeights,
    ) -> Iterator[Part]:
        """The student's tokens, a few at a time, so that a few logits are there at once.

        They are compared with the mixture of the teachers, which is one teacher alone where the
        vocabulary is not `shared`. A token where no teacher has a weight has distance 0.
        """
