"""Which module's output holds given keys or values, by comparing numbers head by head."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from kvdistill.models.attention.rotary import NO_ROTATION, Rotary
from kvdistill.models.attention.trace import ModuleCall

Heads = Float[Tensor, "batch heads seq dim"]
LEAST_TOLERANCE = 1e-4
"""Of a pair's length, in float32: 50 times what a rotation of few positions rounds."""
ROUNDINGS = 4
"""Roundings of a narrower type that a rotation computed in it may differ by."""


@dataclass(frozen=True)
class Source:
    """A module, and where its output holds one part of a layer."""

    name: str
    """Within its layer: self_attn.k_norm."""
    module: nn.Module
    dim: int
    """Of a head."""
    seq_first: bool
    """Whether the module works in (batch, seq, heads, dim)."""
    heads: slice | list[int]
    """Which of the heads in its output."""
    projection: nn.Module | None = None
    """Whose weights make it: the module itself, or the projection that a norm stands behind. None
    where something else than a view lies between the two."""
    projection_name: str = ""
    limit: float | None = None
    """Beyond which the model clips the part; None where it does not."""

    def read_heads(self, output: Tensor) -> Heads:
        """The part, from what the module gave."""
        heads = view_heads(output, self.dim, self.seq_first)[:, self.heads]
        return clip_heads(heads, self.limit)

    def get_projection(self) -> nn.Module:
        """The module whose weights are said to make the part, for measuring."""
        return self.projection or self.module


def view_heads(output: Tensor, dim: int, seq_first: bool) -> Heads:
    """A module's output by head, whichever layout the module works in."""
    if output.dim() == 3:
        return output.unflatten(-1, (-1, dim)).transpose(1, 2)
    return output.transpose(1, 2) if seq_first else output


def clip_heads(heads: Heads, limit: float | None) -> Heads:
    """The numbers no further than the limit from zero."""
    return heads if limit is None else heads.clamp(-limit, limit)


def find_source(
    calls: Sequence[ModuleCall], target: Heads, rotary: Rotary, limit: float | None = None
) -> Source | None:
    """The last module whose output, clipped and turned, holds the target; None if none does.

    The last, since a norm that does nothing, or an adapter that is still zero, gives what the
    projection before it gave.
    """
    positions = torch.arange(target.shape[2], device=target.device)[None]
    bound = compute_bound(target, rotary)
    for at in range(len(calls) - 1, -1, -1):
        for seq_first in list_layouts(calls[at].output, target.shape):
            heads = view_heads(calls[at].output, target.shape[-1], seq_first)
            heads = clip_heads(heads, limit)
            numbers = match_heads(rotary.rotate(heads, positions), target, bound)
            if numbers is not None:
                source = Source(
                    name=calls[at].name,
                    module=calls[at].module,
                    dim=target.shape[-1],
                    seq_first=seq_first,
                    heads=to_slice(numbers),
                    limit=limit,
                )
                return _add_projection(source, calls[: at + 1], target.shape)
    return None


def list_layouts(output: Tensor, shape: torch.Size) -> list[bool]:
    """The values of `seq_first` under which an output may hold heads of this shape."""
    batch, count, seq, dim = shape
    if output.dim() == 3 and output.shape[:2] == (batch, seq):
        return [True] if output.shape[2] % dim == 0 and output.shape[2] >= count * dim else []
    if output.dim() != 4 or output.shape[0] != batch or output.shape[3] != dim:
        return []
    # No layout is both: seq is the length of the probe's text, which is no number of heads.
    return [axis == 1 for axis in (1, 2) if output.shape[axis] == seq]


def match_heads(
    heads: Float[Tensor, "batch outputs seq dim"], target: Heads, bound: Heads
) -> list[int] | None:
    """For each head of the target the one that equals it; None unless each has one."""
    heads, target = heads.float(), target.float()
    same = ((heads[0][None] - target[0][:, None]).abs() <= bound[0][:, None]).all(dim=(-1, -2))
    return same.int().argmax(dim=1).tolist() if bool(same.any(dim=1).all()) else None


def compute_bound(target: Heads, rotary: Rotary) -> Heads:
    """By how much each number of the target may differ from one that is computed in float32."""
    # A rotation rounds each dimension in proportion to its pair: outlying dimensions, as a bias
    # makes them, hide nothing in the others.
    tolerance = max(LEAST_TOLERANCE, ROUNDINGS * torch.finfo(target.dtype).eps)
    return tolerance * rotary.measure_pairs(target)


def drop_copies(heads: Heads, count: int) -> Float[Tensor, "batch kv_heads seq dim"]:
    """One of each KV head, where a model (Falcon) hands a copy a query head to its cache."""
    copies = heads.shape[1] // count
    if copies * count != heads.shape[1]:
        return heads
    first = heads[:, ::copies]
    return first if torch.equal(first.repeat_interleave(copies, dim=1), heads) else heads


def to_slice(numbers: Sequence[int]) -> slice | list[int]:
    """The numbers as a slice where they are evenly spaced, so that reading them copies nothing."""
    step = numbers[1] - numbers[0] if len(numbers) > 1 else 1
    stop = numbers[0] + step * len(numbers)
    if step > 0 and list(range(numbers[0], stop, step)) == list(numbers):
        return slice(numbers[0], stop, step)
    return list(numbers)


def _add_projection(source: Source, calls: Sequence[ModuleCall], shape: torch.Size) -> Source:
    """A source with the module whose weights make it; `calls` end with the source's own."""
    norm_input = calls[-1].input
    # Cohere's norm of each head has a weight a head, so a matrix alone makes no projection.
    by_head = norm_input is not None and norm_input.dim() == 4
    if norm_input is None or (has_matrix(source.module) and not by_head):
        return replace(source, projection=source.module, projection_name=source.name)
    for seq_first in list_layouts(norm_input, shape):
        heads = view_heads(norm_input, source.dim, seq_first)
        if (before := find_source(calls[:-1], heads, NO_ROTATION)) is not None:
            return replace(
                source, projection=before.projection, projection_name=before.projection_name
            )
    return source


def has_matrix(module: nn.Module) -> bool:
    """Whether a module has weights that project; a norm has vectors alone."""
    # ZeRO-3 leaves a weight empty between forwards, and its shape beside it.
    return any(len(getattr(p, "ds_shape", p.shape)) > 1 for p in module.parameters())
