"""Each text faces what the teacher made of another: the control of the method itself.

What still helps under it is regularisation, not the teacher's knowledge of this text. Calibration
is the true teacher's, so that the target keeps the width, spread and projection of the arm that it
stands beside.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import ClassVar

import torch
from jaxtyping import Bool
from torch import Tensor

from kvdistill.errors import UserError
from kvdistill.kv.base import Kept, TeacherKV, Wanted
from kvdistill.kv.shuffle_pairs import partners
from kvdistill.types import Tokens


class Shuffled(TeacherKV):
    """In the place of a text's i-th kept token, the i-th of the next other text of the micro-batch.

    So the student is compared at the tokens of the true arm, as far as the other text reaches.
    """

    least_texts: ClassVar[int] = 2

    def __init__(self, wanted: Wanted, *, of: Callable[..., TeacherKV]) -> None:
        """`of` builds the source whose readings are exchanged."""
        self.inner = of(wanted=wanted)
        self.rotaries = self.inner.rotaries

    def read(self, tokens: Tokens, ids: Sequence[str]) -> list[Kept]:
        """A text that only other styles of its own row stand beside is masked.

        Raises UserError for a micro-batch of one text.
        """
        if len(ids) < 2:
            raise UserError(
                "source=shuffled needs another text in each micro-batch. Set budget.batch_size to "
                "2 or more."
            )
        others, paired = partners(ids)
        return [exchanged(kept, others, paired) for kept in self.inner.read(tokens, ids)]


def exchanged(kept: Kept, others: list[int], paired: Bool[Tensor, " batch"]) -> Kept:
    """The same rows, each text's standing for its partner's tokens."""
    theirs, rank = kept.listed()[others], kept.rank()
    there = (kept.rows >= 0) & (rank < theirs.shape[1]) & paired.to(rank.device)[:, None]
    rows = theirs.gather(1, rank.clamp(max=theirs.shape[1] - 1))
    return replace(kept, rows=torch.where(there, rows, -1))
