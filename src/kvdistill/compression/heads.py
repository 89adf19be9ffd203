"""Attention and cosine scores of a few heads and rows at a time, never seq x seq of all heads."""

from collections.abc import Iterator

from jaxtyping import Float
from torch import Tensor

MAX_ELEMENTS = 2**19
"""Elements of the largest temporary: 2 MiB in float32."""

EPS = 1e-8


def iterate_blocks(batch: int, heads: int, seq: int) -> Iterator[tuple[slice, slice]]:
    """Slices of samples and KV heads whose seq x seq scores fit, or single heads if none do."""
    fit = max(1, MAX_ELEMENTS // seq**2)
    samples, some = max(1, fit // heads), min(heads, fit)
    # All heads of several samples, or some heads of one: never parts of both.
    for b in range(0, batch, samples):
        for h in range(0, heads, some):
            yield slice(b, b + samples), slice(h, h + some)


def count_rows_that_fit(heads: int, seq: int) -> int:
    """How many rows of `seq` scores, each for so many heads, fit; at least one."""
    return max(1, MAX_ELEMENTS // (heads * seq))


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
    grouped = queries.unflatten(1, (keys.shape[1], -1))
    return grouped @ keys[:, :, None].transpose(-1, -2) / keys.shape[-1] ** 0.5
