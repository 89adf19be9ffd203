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
from kvdistill.kv.base import CompressedKV, TeacherKV, TeacherRequest
from kvdistill.kv.shuffle_pairs import choose_partners
from kvdistill.types import Tokens


class Shuffled(TeacherKV):
    """In the place of a text's i-th kept token, the i-th of the next other text of the micro-batch.

    So the student is compared at the tokens of the true arm, as far as the other text reaches.
    """

    min_texts: ClassVar[int] = 2

    def __init__(self, request: TeacherRequest, *, of: Callable[..., TeacherKV]) -> None:
        """`of` builds the source whose readings are exchanged."""
        self.inner = of(wanted=request)
        self.rotaries = self.inner.rotaries

    def read_kv(self, tokens: Tokens, ids: Sequence[str]) -> list[CompressedKV]:
        """A text that only other styles of its own row stand beside is masked.

        Raises UserError for a micro-batch of one text.
        """
        if len(ids) < 2:
            raise UserError(
                "source=shuffled needs another text in each micro-batch. Set budget.batch_size to "
                "2 or more."
            )
        others, paired = choose_partners(ids)
        return [swap_texts(kept, others, paired) for kept in self.inner.read_kv(tokens, ids)]


def swap_texts(
    kept: CompressedKV, others: list[int], paired: Bool[Tensor, " batch"]
) -> CompressedKV:
    """The same rows, each text's standing for its partner's tokens."""
    theirs, rank = kept.list_rows()[others], kept.rank_tokens()
    there = (kept.row_of_token >= 0) & (rank < theirs.shape[1]) & paired.to(rank.device)[:, None]
    rows = theirs.gather(1, rank.clamp(max=theirs.shape[1] - 1))
    return replace(kept, rows=torch.where(there, rows, -1))
