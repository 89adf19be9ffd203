"""Which tokens two vocabularies share: those that stand for the same bytes, and the end of text."""

from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from kvdistill.logits.vocabulary import TokenTable


@dataclass(frozen=True)
class SideTokens:
    """One model's ids."""

    shared: Int[Tensor, " shared"]
    """Column -> id; a column is the same token in both vocabularies."""
    rest: Int[Tensor, " rest"]
    """The ids that the other vocabulary has not."""
    column: Int[Tensor, " vocab"]
    """Id -> column; -1 for the rest."""


@dataclass(frozen=True)
class SharedTokens:
    """The tokens of a student and one teacher, side by side."""

    student: SideTokens
    teacher: SideTokens


def match_tokens(student: TokenTable, teacher: TokenTable) -> SharedTokens:
    """Pairs ids of equal bytes, the lowest id of each where several have them."""
    own, other = _index_bytes(student), _index_bytes(teacher)
    pairs = [(index, other[piece]) for piece, index in own.items() if piece in other]
    # What ends a text is written otherwise in every vocabulary and says the same.
    pairs.append((student.eos_token_id, teacher.eos_token_id))
    ids = torch.tensor(sorted(pairs))
    return SharedTokens(
        _split_ids(ids[:, 0], len(student.token_bytes)),
        _split_ids(ids[:, 1], len(teacher.token_bytes)),
    )


def _index_bytes(table: TokenTable) -> dict[bytes, int]:
    index: dict[bytes, int] = {}
    for token, piece in enumerate(table.token_bytes):
        if piece and token != table.eos_token_id:
            index.setdefault(piece, token)
    return index


def _split_ids(shared: Int[Tensor, " shared"], vocabulary: int) -> SideTokens:
    column = torch.full((vocabulary,), -1)
    column[shared] = torch.arange(len(shared))
    return SideTokens(shared, (column < 0).nonzero().flatten(), column)
