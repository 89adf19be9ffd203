"""The rotary embedding as an operator on keys, in float32.

Frequencies and scaling come from the model's own rotary module, never from a base, so that llama3,
YaRN and linear scaling are whatever the model computes. Half-split layout: dimension i turns with
i + half. Source: RoFormer (arXiv 2104.09864), laid out as transformers does.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from kvdistill.errors import ConfigError
from kvdistill.models.capture import find_decoder

STATIC_ROPE_TYPES = ("default", "linear", "llama3", "yarn")
"""Scalings whose frequencies do not depend on the text's length."""


@dataclass(frozen=True, eq=False)
class Rotary:
    """Turns pairs of dimensions by position x frequency; dimensions beyond them stay."""

    inv_freq: Float[Tensor, " half"]
    """Radians a position, float32."""
    attention_scaling: float = 1.0
    """Factor on the turned dimensions; not 1 for YaRN."""

    def rotate(
        self,
        keys: Float[Tensor, "batch heads seq dim"],
        positions: Int[Tensor, "batch seq"] | Float[Tensor, "batch seq"],
    ) -> Float[Tensor, "batch heads seq dim"]:
        """The keys as attention sees them at these positions; float32."""
        half = len(self.inv_freq)
        # In float32 throughout: bfloat16 does not hold every whole number above 256.
        angle = positions[:, None, :, None].float() * self.inv_freq.to(keys.device)
        cos, sin = angle.cos() * self.attention_scaling, angle.sin() * self.attention_scaling
        first, second, rest = keys.float().tensor_split((half, 2 * half), dim=-1)
        return torch.cat((first * cos - second * sin, second * cos + first * sin, rest), dim=-1)


NO_ROTATION = Rotary(torch.zeros(0))
"""Turns nothing: for keys that are compared unrotated, where no rotary module is read."""


def read_rotaries(model: nn.Module, layers: Sequence[int]) -> dict[int, Rotary]:
    """Each layer's rotary, as the model's own module computes it.

    Raises ConfigError for a layer without rotary embedding and for kinds that this operator
    cannot reproduce (frequencies that depend on the length, interleaved pairs).
    """
    body = find_decoder(model)
    return {layer: _read_rotary(body, layer) for layer in layers}


def _read_rotary(body: Any, layer: int) -> Rotary:
    attention: Any = body.layers[layer].self_attn
    module: Any = body.rotary_emb
    name = type(body).__name__
    # SmolLM3 and others leave the rotary embedding out of some layers and mark them so.
    if not getattr(attention, "use_rope", True):
        raise ConfigError(
            f"layer {layer} of {name} has no rotary embedding. Use position=none, a compression "
            f"that reads no attention, or leave the layer out of layers.range."
        )
    rope_type, prefix = module.rope_type, ""
    if isinstance(rope_type, dict):  # Gemma 3: one set of frequencies a kind of layer
        prefix = f"{attention.layer_type}_"
        rope_type = rope_type[attention.layer_type]
    if rope_type not in STATIC_ROPE_TYPES:
        raise ConfigError(
            f"{name} scales its rotary embedding by {rope_type!r}, whose frequencies depend on the "
            f"text; supported are {', '.join(STATIC_ROPE_TYPES)}. Use position=none."
        )
    rotary = Rotary(
        getattr(module, f"{prefix}inv_freq").detach().float(),
        float(getattr(module, f"{prefix}attention_scaling")),
    )
    _check_half_split(rotary, attention, name)
    return rotary


def _check_half_split(rotary: Rotary, attention: nn.Module, name: str) -> None:
    """Raises ConfigError where the model's own function turns other pairs of dimensions."""
    # Each of transformers' modelling files defines the function that its attention calls.
    apply: Any = getattr(sys.modules[type(attention).__module__], "apply_rotary_pos_emb", None)
    inv_freq = rotary.inv_freq.cpu()
    # Three positions: at position 0 any layout gives the same.
    x = torch.linspace(-1, 1, 3 * 2 * len(inv_freq)).view(1, 1, 3, -1)
    positions = torch.arange(3)[None]
    angle = torch.cat((inv_freq, inv_freq)) * positions[..., None]
    cos, sin = (f(angle) * rotary.attention_scaling for f in (torch.cos, torch.sin))
    ours = Rotary(inv_freq, rotary.attention_scaling).rotate(x, positions)
    if apply is None or not torch.allclose(apply(x, x, cos, sin)[1], ours, atol=1e-5):
        raise ConfigError(
            f"{name} does not turn its keys by the half-split rotary embedding. Use position=none "
            f"and a compression that reads no attention."
        )
