"""Moments of teacher rows where heads keep tokens of their own, so that some hold none of a token.

What a head dropped is taken as its mean, as in training (train/objective.py: subtract_mean): a map
that is fitted on these moments expects what it will be given. They are summed up over rows that end
in a 1 or 0 a head, since means are known only once all rows have been read.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from kvdistill.kv.moments import Moments


def append_held(
    x: Float[Tensor, "batch seq width"], head_mask: Bool[Tensor, "batch heads seq"]
) -> Float[Tensor, "batch seq width_and_heads"]:
    """Rows that are zero where a head dropped the token, with which heads hold it appended."""
    return torch.cat((x, head_mask.transpose(1, 2).to(x.dtype)), dim=2)


def compute_held_share(moments: Moments, heads: int) -> float:
    """Share of the (token, head) pairs that are held."""
    return float(moments.x[-heads:].sum() / (moments.count * heads))


def compute_held_means(
    moments: Moments, heads: int, layers: int
) -> Float[Tensor, " teacher_width"]:
    """Mean of each column over the tokens that its head holds; 0 for a head that holds none."""
    counts = moments.x[-heads:].clamp(min=1)
    sums = moments.x[:-heads]
    return sums / counts[_find_heads_of_columns(len(sums), heads, layers)]


def fill_with_means(
    moments: Moments, means: Float[Tensor, " teacher_width"], layers: int
) -> Moments:
    """The moments of the rows without what was appended, each head's `means` where it dropped one.

    `layers` teacher layers lie side by side, all heads of each.
    """
    width = len(means)
    heads = len(moments.x) - width
    # (x, held) -> held * (x - mean): linear, so that the sums are enough.
    centre = torch.zeros(width + heads, width, dtype=torch.float64, device=means.device)
    columns = torch.arange(width, device=means.device)
    centre[columns, columns] = 1
    centre[width + _find_heads_of_columns(width, heads, layers), columns] = -means
    return moments.project_teacher(centre).shift_teacher(means)


def _find_heads_of_columns(width: int, heads: int, layers: int) -> Tensor:
    dim = width // (heads * layers)
    return torch.arange(heads).repeat_interleave(dim).repeat(layers)
