"""Attention and cosine scores of a few heads and rows at a time, never seq x seq of all heads."""

from collections.abc import Iterator

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from kvdistill.errors import ConfigError
from kvdistill.plan.resources.score_memory import BLOCK_ELEMENTS
from kvdistill.types import Layer

CACHE_ELEMENTS = 2**19
"""Elements of the largest temporary on a CPU: 2 MiB in float32, which its cache holds."""
DEVICE_ELEMENTS = BLOCK_ELEMENTS
"""Elsewhere: what the plan reckons with."""

EPS = 1e-8


def get_max_elements(device: torch.device) -> int:
    """Elements of the largest temporary on that device."""
    return CACHE_ELEMENTS if device.type == "cpu" else DEVICE_ELEMENTS


def iterate_blocks(
    batch: int, heads: int, head_elements: int, max_elements: int
) -> Iterator[tuple[slice, slice]]:
    """Slices of samples and KV heads that fit, or single heads if none do."""
    fit = max(1, max_elements // head_elements)
    samples, some = max(1, fit // heads), min(heads, fit)
    # All heads of several samples, or some heads of one: never parts of both.
    for b in range(0, batch, samples):
        for h in range(0, heads, some):
            yield slice(b, b + samples), slice(h, h + some)


def count_rows_that_fit(heads: int, seq: int, max_elements: int) -> int:
    """How many rows of `seq` scores, each for so many heads, fit; at least one."""
    return max(1, max_elements // (heads * seq))


def normalise_keys(
    keys: Float[Tensor, "batch heads seq dim"],
) -> Float[Tensor, "batch heads seq dim"]:
    """Keys of length 1; zero stays zero."""
    return keys / (keys.norm(dim=-1, keepdim=True) + EPS)


def compute_gqa_logits(
    queries: Float[Tensor, "batch query_heads rows dim"],
    keys: Float[Tensor, "batch heads seq dim"],
) -> Float[Tensor, "batch heads group rows seq"]:
    """Scaled dot products of grouped-query attention.

    Query heads g * group ... share KV head g, as in transformers' `repeat_kv`.
    """
    heads, rows = keys.shape[1], queries.shape[2]
    # A group's rows one below another: keys are multiplied as they lie, not once for each of them.
    stacked = (queries / keys.shape[-1] ** 0.5).unflatten(1, (heads, -1)).flatten(2, 3)
    return (stacked @ keys.mT).unflatten(2, (-1, rows))


def get_rotated(layer: Layer) -> tuple[Tensor, Tensor]:
    """Rotated queries and keys, which capture takes where a press `needs_attention`."""
    assert layer.rotated_queries is not None
    assert layer.rotated_keys is not None
    return layer.rotated_queries, layer.rotated_keys


def fill_padding(
    x: Float[Tensor, "batch heads seq dim"], mask: Bool[Tensor, "batch seq"]
) -> Float[Tensor, "batch heads seq dim"]:
    """In float32, zero under the mask: filled before any product, since padding may hold NaN."""
    return x.float().masked_fill(~mask[:, None, :, None], 0)


def iterate_groups(
    queries: Float[Tensor, "batch query_heads rows dim"],
    keys: Float[Tensor, "batch heads seq dim"],
    mask: Bool[Tensor, "batch seq"],
    width: int | None = None,
) -> Iterator[tuple[slice, slice, Tensor, Tensor]]:
    """(samples, KV heads, the queries that share these heads, their keys) of each block.

    Keys are in float32, zero under the mask; queries as they are. `width`: elements that a KV head
    needs for each of its tokens; one for each other token where not given.
    """
    group = queries.shape[1] // keys.shape[1]
    batch, heads, seq, _ = keys.shape
    head_elements = seq * (width or seq)
    for b, h in iterate_blocks(batch, heads, head_elements, get_max_elements(keys.device)):
        yield b, h, queries[b, h.start * group : h.stop * group], fill_padding(keys[b, h], mask[b])


def sum_attention(
    queries: Float[Tensor, "batch query_heads seq dim"],
    keys: Float[Tensor, "batch heads seq dim"],
    rows: Int[Tensor, "batch some"],
    count: Int[Tensor, " batch"],
    mask: Bool[Tensor, "batch seq"],
) -> Float[Tensor, "batch heads group seq"]:
    """Attention weights summed over the queries at the first `count` of `rows`.

    A query attends to the real keys up to itself. Some rows at a time: see `get_max_elements`.
    """
    batch, heads, seq, dim = keys.shape
    query_heads = queries.shape[1]
    total = keys.new_zeros(batch, heads, query_heads // heads, seq)
    index = torch.arange(seq, device=keys.device)
    counted = torch.arange(rows.shape[1], device=rows.device) < count[:, None]
    # A row that does not count reads the text's first token: its own may be padding, and NaN.
    rows = rows.masked_fill(~counted, 0)
    share, padding = counted.float()[:, None, None, None], ~mask[:, None]
    step = count_rows_that_fit(batch * query_heads, seq, get_max_elements(keys.device))
    for start in range(0, rows.shape[1], step):
        row = rows[:, start : start + step]
        q = queries.gather(2, row[:, None, :, None].expand(-1, query_heads, -1, dim)).float()
        hidden = (index > row[..., None]) | padding
        # One expression, filled in place: a name for the logits would hold them beside the weights.
        weights = (
            compute_gqa_logits(q, keys)
            .masked_fill_(hidden[:, None, None], -torch.inf)
            .softmax(dim=-1)
        )
        total += (share[..., start : start + step] @ weights).squeeze(-2)
    return total


def list_last_rows(mask: Bool[Tensor, "batch seq"], window: int) -> Int[Tensor, "batch window"]:
    """Positions of each text's last `window` real tokens; its first again if it has fewer."""
    real = mask.sum(dim=1, keepdim=True)
    return (real - window + torch.arange(window, device=mask.device)).clamp(min=0)


def keep_window(
    scores: Float[Tensor, "batch heads seq"],
    mask: Bool[Tensor, "batch seq"],
    window: int | Int[Tensor, " batch"],
) -> Float[Tensor, "batch heads seq"]:
    """The scores, which must not exceed 1, with those of the last `window` tokens above them.

    `window` is one for all texts or one each. Within it scores rise, so that a smaller budget keeps
    its end.
    """
    index = torch.arange(mask.shape[1], device=mask.device)
    before = index < (mask.sum(dim=1) - window)[:, None]
    return torch.where(before[:, None], scores, 2 + index / len(index))


def check_window(window: int) -> None:
    """Raises ConfigError unless the window holds a token."""
    if window < 1:
        raise ConfigError(f"compression.window is {window} but must be at least 1 token.")


def check_kernel(kernel: int) -> None:
    """Raises ConfigError unless tokens can be pooled around their middle."""
    if kernel < 1 or kernel % 2 == 0:
        raise ConfigError(f"compression.kernel is {kernel} but must be odd, as 7.")
