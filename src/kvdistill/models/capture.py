"""Keys and values of a decoder's layers, taken before the rotary embedding.

Forward hooks sit on the projections (or on the norm behind them, where the architecture has one),
not on the cache: a cache holds rotated keys, detaches from checkpointed blocks and forgets beyond
a sliding window. A hook only remembers a tensor, so recomputation cannot disturb it, and nothing
is remembered outside `with capture`.
"""

import copy
from collections.abc import Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from kvdistill.errors import ConfigError
from kvdistill.models.geometry import shorten
from kvdistill.types import KV, Layer, Tokens

PARTS = {"keys": "k", "values": "v", "queries": "q"}


@runtime_checkable
class Rotates(Protocol):
    """What turns a layer's queries and keys by their positions: `kvdistill.kv.rotary.Rotary`."""

    def rotate(self, keys: Tensor, positions: Tensor) -> Tensor:
        """`keys` is (batch, heads, seq, dim), `positions` (batch, seq)."""


class _Seen(NamedTuple):
    output: Tensor
    seq_outside_heads: bool
    """Whether the memory of a 4-d input runs through its second axis more slowly than its third."""


def decoder(model: nn.Module) -> Any:
    """The stack of decoder layers of a causal LM, of a PEFT-wrapped one, or of a body."""
    found = getattr(model, "get_decoder", lambda: model)()
    if not isinstance(getattr(found, "layers", None), nn.ModuleList):
        raise ConfigError(
            f"{type(model).__name__} has no list of decoder layers to capture K and V from. "
            f"Use a decoder-only model of the Llama or Qwen kind."
        )
    return found


def cut(model: nn.Module, deepest: int) -> nn.Module:
    """The body of `model` up to layer `deepest`: a forward of it stops there, without logits.

    Upper layers, the last layer's MLP and the final norm are dropped: nothing reads what they make.
    Do it before ZeRO-3 partitions the weights.
    """
    body = decoder(model)
    count = len(body.layers)
    if not 0 <= deepest < count:
        raise ConfigError(f"layers asks for teacher layer {deepest}, but it has 0 to {count - 1}.")
    if count == deepest + 1 and isinstance(body.norm, nn.Identity):
        return body  # cut before it was sharded
    body.layers = body.layers[: deepest + 1]
    body.norm = nn.Identity()
    if hasattr(getattr(body.layers[-1], "mlp", None), "down_proj"):  # a mixture of experts stays
        body.layers[-1].mlp = nn.Identity()
    config = copy.deepcopy(body.config)
    shorten(config, deepest + 1)
    config.use_cache = False
    body.config = config
    return body


class Capture:
    """Records K and V (and rotated queries and keys) of the chosen layers inside `with capture`.

    Build it once, after PEFT has wrapped the model, and keep it as long as the model:

        with capture:
            model(input_ids=..., attention_mask=..., use_cache=False)
        layers = capture.take(tokens)
    """

    def __init__(
        self,
        model: nn.Module,
        layers: Sequence[int],
        *,
        rotaries: Mapping[int, Rotates] | None = None,
    ) -> None:
        """`rotaries` by layer: given only when queries and keys are wanted after rotation."""
        self._decoder = decoder(model)
        self._layers = tuple(layers)
        self._rotaries = rotaries
        self._seen: dict[tuple[int, str], _Seen] = {}
        self._recording = self._wants_grad = False
        self._dims = {}
        parts = ("keys", "values", "queries") if rotaries is not None else ("keys", "values")
        for layer in self._layers:
            attention = _attention(self._decoder, layer)
            self._dims[layer] = int(attention.head_dim)
            for part in parts:
                _tap(attention, part, layer).register_forward_hook(partial(self._see, layer, part))

    def __enter__(self) -> "Capture":
        _refuse_reentrant(self._decoder)
        self._seen.clear()
        self._recording = True
        self._wants_grad = self._decoder.training and torch.is_grad_enabled()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._recording = False
        if kind is not None:
            self._seen.clear()

    def take(self, tokens: Tokens) -> dict[int, Layer]:
        """What the forward over `tokens` left behind, by layer; nothing is held afterwards.

        Raises ConfigError if a student in training would learn nothing from a layer.
        """
        seen, self._seen = self._seen, {}
        missing = [layer for layer in self._layers if (layer, "keys") not in seen]
        if missing:
            raise RuntimeError(f"layers {missing} did not run inside `with capture`.")
        return {layer: self._layer(layer, seen, tokens) for layer in self._layers}

    def _see(
        self, layer: int, part: str, module: nn.Module, args: tuple[Tensor], output: Tensor
    ) -> None:
        if self._recording:
            x = args[0]
            outside = x.dim() == 4 and x.stride(1) > x.stride(2)
            # By layer, not appended: a hook may fire more than once a step.
            self._seen[layer, part] = _Seen(output, outside)

    def _layer(self, layer: int, seen: Mapping[tuple[int, str], _Seen], tokens: Tokens) -> Layer:
        seq, dim = tokens.ids.shape[1], self._dims[layer]
        keys = _heads_first(seen[layer, "keys"], seq, dim)
        values = _heads_first(seen[layer, "values"], seq, dim)
        if self._wants_grad and not (keys.requires_grad and values.requires_grad):
            raise ConfigError(
                f"layers includes student layer {layer}, whose K or V depends on no trainable "
                f"weight, so the KV loss could not teach it. Leave it out of layers.range or "
                f"train its k_proj and v_proj."
            )
        kv = KV(keys, values, tokens.mask)
        if self._rotaries is None:
            return Layer(kv, tokens)
        # Right-padded texts: a token's position is its index.
        positions = torch.arange(seq, device=keys.device).expand(len(keys), seq)
        turn = self._rotaries[layer].rotate
        queries = _heads_first(seen[layer, "queries"], seq, dim)
        return Layer(
            kv,
            tokens,
            turn(queries.detach(), positions).to(queries.dtype),
            turn(keys.detach(), positions).to(keys.dtype),
        )


def _attention(body: Any, layer: int) -> Any:
    count = len(body.layers)
    if not 0 <= layer < count:
        raise ConfigError(f"layers asks for layer {layer}, but the model has 0 to {count - 1}.")
    block = body.layers[layer]
    attention = getattr(block, "self_attn", None)
    if attention is None:
        raise ConfigError(
            f"layer {layer} of {type(body).__name__} is a {type(block).__name__} without "
            f"self-attention, so it has no K and V. Leave it out of layers.range."
        )
    return attention


def _tap(attention: nn.Module, part: str, layer: int) -> nn.Module:
    """The last module that shapes this part before the rotary embedding."""
    name = PARTS[part]
    projection = getattr(attention, f"{name}_proj", None)
    if projection is None or getattr(attention, "is_kv_shared_layer", False):
        raise ConfigError(
            f"layer {layer} is a {type(attention).__name__} without a {name}_proj of its own; "
            f"only separate projections can be captured. Use another model or layers.range."
        )
    return getattr(attention, f"{name}_norm", None) or projection


def _heads_first(seen: _Seen, seq: int, dim: int) -> Tensor:
    """As (batch, heads, seq, dim), whichever layout the module works in."""
    x = seen.output
    if x.dim() == 3:
        return x.unflatten(-1, (-1, dim)).transpose(1, 2)
    # Qwen3 norms (batch, seq, heads, dim), Gemma 3 (batch, heads, seq, dim). Where both axes are
    # equally long only the memory order of the norm's input, a view of the projection, tells.
    square = x.shape[1] == x.shape[2]
    return x.transpose(1, 2) if (seen.seq_outside_heads if square else x.shape[1] == seq) else x


def _refuse_reentrant(body: Any) -> None:
    for module in (body, *body.layers):
        function = getattr(module, "_gradient_checkpointing_func", None)
        if not (getattr(module, "gradient_checkpointing", False) and module.training):
            continue
        if getattr(function, "keywords", {}).get("use_reentrant", True) is not False:
            raise ConfigError(
                "train.gradient_checkpointing_kwargs.use_reentrant is not false: reentrant "
                "checkpointing silently removes the gradient of captured K and V. "
                "Set use_reentrant to false."
            )
