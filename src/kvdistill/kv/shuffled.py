"""Each text is compared with the teacher's K and V of another text: a control of the method.

What still helps under it is regularisation, not the teacher's knowledge of this text. Calibration
is the true teacher's, so that the target keeps the width, scale and projection of the arm that it
is a control for.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import ClassVar

import torch
from jaxtyping import Bool
from torch import Tensor

from kvdistill.errors import UserError
from kvdistill.kv.base import CompressedKV, TeacherKV, TeacherRequest
from kvdistill.kv.control import Control
from kvdistill.kv.shuffle_pairs import choose_partners
from kvdistill.types import Tokens


class Shuffled(Control):
    """In the place of a text's i-th kept token, the i-th of the next other text of the micro-batch.

    So the student is compared at the tokens of the true arm, as far as the other text reaches.
    """

    min_texts: ClassVar[int] = 2

    def __init__(self, request: TeacherRequest, *, of: Callable[..., TeacherKV]) -> None:
        """`of` builds the source whose K and V are exchanged between texts."""
        super().__init__(request, of)

    def read_kv_cache(self, tokens: Tokens, ids: Sequence[str]) -> list[CompressedKV]:
        """K and V of each text's partner; all masked for a text that has no partner.

        Raises UserError for a micro-batch of one text.
        """
        if len(ids) < 2:
            raise UserError(
                "source=shuffled needs another text in each micro-batch. Set budget.batch_size to "
                "2 or more."
            )
        partners, paired = choose_partners(ids)
        return [
            swap_texts(kept, partners, paired) for kept in self.inner.read_kv_cache(tokens, ids)
        ]


def swap_texts(
    kept: CompressedKV, partners: list[int], paired: Bool[Tensor, " batch"]
) -> CompressedKV:
    """The same rows, those of each text's partner in the place of its own."""
    partner_rows, rank = kept.list_rows()[partners], kept.rank_tokens()
    most = partner_rows.shape[1]
    compared = (kept.row_of_token >= 0) & (rank < most) & paired.to(rank.device)[:, None]
    # A partner with fewer tokens has -1 beyond them, which masks this text's further tokens.
    rows = partner_rows.gather(1, rank.clamp(max=most - 1))
    return replace(kept, row_of_token=torch.where(compared, rows, -1))
