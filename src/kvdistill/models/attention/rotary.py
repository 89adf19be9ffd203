"""The rotary embedding as an operator on keys, in float32.

Frequencies and scaling come from the model's own rotary module, never from a base, so that llama3,
YaRN and linear scaling are whatever the model computes. Source: RoFormer (arXiv 2104.09864).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

STATIC_ROPE_TYPES = ("default", "linear", "llama3", "yarn")
"""Scalings whose frequencies do not depend on the text's length."""
FREQUENCIES = "inv_freq"
"""How transformers ends the names of its buffers of frequencies."""
SINUSOIDS = "embed_positions"
"""What GPT-J and CodeGen call their table of sines, then cosines, a row a position."""


@dataclass(frozen=True, eq=False)
class Rotary:
    """Turns pairs of dimensions by position x frequency; dimensions beyond them stay."""

    inv_freq: Float[Tensor, " half"]
    """Radians a position, float32."""
    attention_scaling: float = 1.0
    """Factor on the turned dimensions; not 1 for YaRN."""
    interleaved: bool = False
    """Whether dimension 2i turns with 2i + 1 (Cohere), in place of i with i + half (Llama)."""

    def rotate(
        self,
        keys: Float[Tensor, "batch heads seq dim"],
        positions: Int[Tensor, "batch seq"] | Float[Tensor, "batch seq"],
    ) -> Float[Tensor, "batch heads seq dim"]:
        """The keys as attention sees them at these positions; float32."""
        # In float32 throughout: bfloat16 does not hold every whole number above 256.
        angle = positions[:, None, :, None].float() * self.inv_freq.to(keys.device)
        return self._turn(keys, angle.cos(), angle.sin())

    def rotate_by_mean(
        self,
        keys: Float[Tensor, "batch heads seq dim"],
        positions: Int[Tensor, "batch some"],
    ) -> Float[Tensor, "batch heads seq dim"]:
        """Every key turned by the mean of the rotations to these positions; float32."""
        angle = positions[:, None, :, None].float() * self.inv_freq.to(keys.device)
        cos, sin = (x.mean(dim=2, keepdim=True) for x in (angle.cos(), angle.sin()))
        return self._turn(keys, cos, sin)

    def _turn(self, keys: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        cos, sin = cos * self.attention_scaling, sin * self.attention_scaling
        first, second, rest = self._split_pairs(keys.float())
        turned = (first * cos - second * sin, second * cos + first * sin)
        return torch.cat((self._join_pairs(*turned), rest), dim=-1)

    def measure_pairs(
        self, keys: Float[Tensor, "batch heads seq dim"]
    ) -> Float[Tensor, "batch heads seq dim"]:
        """The length of each dimension's pair, which no rotation changes; float32."""
        first, second, rest = self._split_pairs(keys.float())
        length = torch.hypot(first, second)
        return torch.cat((self._join_pairs(length, length), rest.abs()), dim=-1)

    def _split_pairs(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        half = len(self.inv_freq)
        if self.interleaved:
            return x[..., : 2 * half : 2], x[..., 1 : 2 * half : 2], x[..., 2 * half :]
        first, second, rest = x.tensor_split((half, 2 * half), dim=-1)
        return first, second, rest

    def _join_pairs(self, first: Tensor, second: Tensor) -> Tensor:
        if self.interleaved:
            return torch.stack((first, second), dim=-1).flatten(-2)
        return torch.cat((first, second), dim=-1)


NO_ROTATION = Rotary(torch.zeros(0))
"""Turns nothing: for keys that are compared unrotated, where no rotary module is read."""


@dataclass(frozen=True, eq=False)
class LayerRotary:
    """How a layer turns its keys, as it was seen to do."""

    rotary: Rotary
    rope_type: str
    """Which scaling the model names; empty for a layer that turns nothing."""

    def explain_refusal(self) -> str:
        """Why a run may not turn keys as this layer does; empty where it may."""
        if not self.rope_type:
            return "has no rotary embedding"
        if self.rotary.interleaved:
            return "does not turn its keys by the half-split rotary embedding (neighbours turn)"
        if self.rope_type not in STATIC_ROPE_TYPES:
            return (
                f"scales its rotary embedding by {self.rope_type!r}, whose frequencies depend on "
                f"the text; supported are {', '.join(STATIC_ROPE_TYPES)}"
            )
        return ""


def list_rotaries(body: nn.Module) -> list[LayerRotary]:
    """Every way in which a body may turn its keys, the likeliest first, turning nothing last.

    Gemma 3 has one set of frequencies a kind of layer; which layer uses which is seen, not read.
    """
    half_split = list(_iterate_frequencies(body))
    interleaved = [
        replace(each, rotary=replace(each.rotary, interleaved=True)) for each in half_split
    ]
    return [*half_split, *interleaved, LayerRotary(NO_ROTATION, "")]


def _iterate_frequencies(body: nn.Module) -> Iterator[LayerRotary]:
    """Each way once: older models hold the same frequencies in every layer."""
    seen: set[tuple[float, ...]] = set()
    for path, buffer in body.named_buffers():
        parent, _, name = path.rpartition(".")
        each = _read_buffer(body.get_submodule(parent), name, buffer)
        if each is None:
            continue
        key = (*each.rotary.inv_freq.tolist(), each.rotary.attention_scaling)
        if key not in seen:
            seen.add(key)
            yield each


def _read_buffer(module: Any, name: str, buffer: Tensor) -> LayerRotary | None:
    """How keys turn by a buffer of this module; None for one that holds no frequencies."""
    if name == SINUSOIDS:
        return LayerRotary(Rotary(read_sinusoids(buffer)), "default")
    if not name.endswith(FREQUENCIES) or name.endswith(f"original_{FREQUENCIES}"):
        return None
    prefix = name.removesuffix(FREQUENCIES)
    rope_type: Any = getattr(module, "rope_type", "default")
    if isinstance(rope_type, dict):  # one a kind of layer, which the buffer's name begins with
        rope_type = rope_type[prefix.removesuffix("_")]
    scaling = float(getattr(module, f"{prefix}attention_scaling", 1.0))
    return LayerRotary(Rotary(buffer.detach().float(), scaling), str(rope_type))


def read_sinusoids(table: Float[Tensor, "positions twice"]) -> Float[Tensor, " half"]:
    """The frequencies of a table of sines and cosines: its angles at position 1."""
    # No frequency is above 1 radian a position, so no angle there has passed half a turn.
    sines, cosines = table[1].detach().float().chunk(2)
    return torch.atan2(sines, cosines)
