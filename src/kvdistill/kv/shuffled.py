"""Each text is compared with what the teacher made of another text: a control of the method.

Another text's K and V, and another answer's next-token distributions. What still helps under it is
regularisation, not the teacher's knowledge of this text. Calibration is the true teacher's, so that
the target keeps the width, scale and projection of the arm that it is a control for.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import ClassVar

import torch
from jaxtyping import Bool
from torch import Tensor

from kvdistill.errors import UserError
from kvdistill.kv.base import (
    AnswerStates,
    CompressedKV,
    TeacherKV,
    TeacherReading,
    TeacherRequest,
)
from kvdistill.kv.control import Control
from kvdistill.kv.shuffle_pairs import choose_partners
from kvdistill.types import Tokens


class Shuffled(Control):
    """In the place of a text's i-th kept token, the i-th of the next other text of the micro-batch.

    So the student is compared at the tokens of the true arm, as far as the other text reaches.
    """

    min_texts: ClassVar[int] = 2
    gives_answers: ClassVar[bool] = True

    def __init__(self, request: TeacherRequest, *, of: Callable[..., TeacherKV]) -> None:
        """`of` builds the source whose K and V are exchanged between texts."""
        super().__init__(request, of)

    def read_texts(self, tokens: Tokens, ids: Sequence[str]) -> TeacherReading:
        """What the teacher made of each text's partner; all masked for a text that has no partner.

        Raises UserError for a micro-batch of one text.
        """
        if len(ids) < 2:
            raise UserError(
                "source=shuffled needs another text in each micro-batch. Set budget.batch_size to "
                "2 or more."
            )
        partners, paired = choose_partners(ids)
        true = self.inner.read_texts(tokens, ids)
        answers = true.answers
        return replace(
            true,
            compressed=[swap_texts(kept, partners, paired) for kept in true.compressed],
            answers=answers and swap_answers(answers, tokens.label_mask, partners, paired),
        )


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


def swap_answers(
    answers: AnswerStates,
    label_mask: Bool[Tensor, "batch seq"],
    partners: list[int],
    paired: Bool[Tensor, " batch"],
) -> AnswerStates:
    """In the place of an answer's i-th state the i-th of the partner's; none beyond its last."""
    counts = label_mask.sum(dim=1)
    first = counts.cumsum(0) - counts
    texts = torch.arange(len(counts), device=counts.device).repeat_interleave(counts)
    rank = torch.arange(len(texts), device=counts.device) - first[texts]
    other = torch.tensor(partners, device=counts.device)[texts]
    given = (rank < counts[other]) & paired.to(counts.device)[texts]
    rows = torch.where(given, first[other] + rank, 0)
    return replace(answers, hidden=answers.hidden[rows], given=given)
