"""For each text of a batch another one to be exchanged with: what every shuffled control needs."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool
from torch import Tensor


def choose_partners(ids: Sequence[str]) -> tuple[list[int], Bool[Tensor, " batch"]]:
    """The next text, in a circle, of another row; and whether there is one.

    `ids` are `row:style`: two styles of a row ask and answer the same, so are no control. A text
    without a partner gets itself.
    """
    rows = [text.rpartition(":")[0] or text for text in ids]
    found = []
    for at, row in enumerate(rows):
        circle = [*range(at + 1, len(rows)), *range(at)]
        found.append(next((i for i in circle if rows[i] != row), at))
    return found, torch.tensor([at != i for at, i in enumerate(found)])
