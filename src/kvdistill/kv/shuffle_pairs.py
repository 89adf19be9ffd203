"""Pairs each text of a batch with another one: what every shuffled control exchanges."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool
from torch import Tensor


def choose_partners(ids: Sequence[str]) -> tuple[list[int], Bool[Tensor, " batch"]]:
    """(index of each text's partner, whether it has one).

    The partner is the next text, in a circle, of another row. `ids` are `row:style`: two styles of
    a row ask and answer the same, so are no control. A text without a partner gets itself.
    """
    # An id without a style is a row of its own.
    rows = [text.rpartition(":")[0] or text for text in ids]
    partners = []
    for index, row in enumerate(rows):
        circle = [*range(index + 1, len(rows)), *range(index)]
        partners.append(next((i for i in circle if rows[i] != row), index))
    return partners, torch.tensor([index != i for index, i in enumerate(partners)])
