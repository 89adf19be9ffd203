"""How several teachers become one target: which counts how much at which token."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from jaxtyping import Bool, Float
from torch import Tensor

TeacherWeights = Float[Tensor, "teachers predicted"]
"""Of each teacher at each of the student's predicted tokens; they sum to 1, or to 0 where no
teacher covers the token."""


class TeacherMix(ABC):
    """Weighs the teachers, before or after the student is compared with them."""

    mixes_probabilities: ClassVar[bool]
    """Whether the weights mix the teachers' distributions into one target, or the student's
    distances to each of them."""
    reads_ce: ClassVar[bool] = False
    """Whether the teachers' own cross-entropy is read."""

    @abstractmethod
    def __init__(self, *, teachers: Sequence[str]) -> None:
        """`teachers` by name, in the order of the weights."""

    @abstractmethod
    def weigh_teachers(
        self,
        covered: Bool[Tensor, "teachers predicted"],
        ce: Float[Tensor, "teachers predicted"] | None,
        fused: Float[Tensor, "teachers predicted"] | None,
    ) -> TeacherWeights:
        """The weights over the teachers that cover each token.

        `ce` is, where it is read, each teacher's cross-entropy in nats over the answer of the text
        that a token is of; `fused` what the KV fusion gives, None without a KV objective.
        """


def renormalise(
    shares: TeacherWeights, covered: Bool[Tensor, "teachers predicted"]
) -> TeacherWeights:
    """The shares over the teachers that cover each token; 0 where none with a share does."""
    held = shares * covered
    total = held.sum(dim=0)
    return held / total.masked_fill(total == 0, 1)
