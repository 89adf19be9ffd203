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
from kvdistill.models.geometry import keep_config_layers
from kvdistill.types import KV, Layer, Tokens

PREFIXES = {"keys": "k", "values": "v", "queries": "q"}
"""How transformers begins the names of a part's modules: k_proj, k_norm."""


@runtime_checkable
class SupportsRotate(Protocol):
    """What turns a layer's queries and keys by their positions: `kvdistill.kv.rotary.Rotary`."""

    def rotate(self, keys: Tensor, positions: Tensor) -> Tensor:
        """`keys` is (batch, heads, seq, dim), `positions` (batch, seq)."""


class _HookOutput(NamedTuple):
    """What a hooked module gave."""

    output: Tensor
    seq_outside_heads: bool
    """Whether the memory of a 4-d input runs through its second axis more slowly than its third."""


def find_decoder(model: nn.Module) -> Any:
    """The stack of decoder layers of a causal LM, of a PEFT-wrapped one, or of a body.

    Raises ConfigError for a model without a list of layers.
    """
    decoder = getattr(model, "get_decoder", lambda: model)()
    if not isinstance(getattr(decoder, "layers", None), nn.ModuleList):
        raise ConfigError(
            f"{type(model).__name__} has no list of decoder layers to capture K and V from. "
            f"Use a decoder-only model of the Llama or Qwen kind."
        )
    return decoder


def truncate_decoder(model: nn.Module, deepest: int) -> nn.Module:
    """The body of `model` up to layer `deepest`; its forward stops there and gives no logits.

    The model itself is changed. Upper layers, the last layer's MLP and the final norm are dropped,
    since only K and V are read. Call it before ZeRO-3 partitions the weights. Raises ConfigError
    for a layer that the model does not have.
    """
    decoder = find_decoder(model)
    count = len(decoder.layers)
    if not 0 <= deepest < count:
        raise ConfigError(f"layers asks for teacher layer {deepest}, but it has 0 to {count - 1}.")
    if count == deepest + 1 and isinstance(decoder.norm, nn.Identity):
        return decoder  # truncated before
    decoder.layers = decoder.layers[: deepest + 1]
    decoder.norm = nn.Identity()
    # A mixture of experts stays: some models unpack a tuple that its block returns.
    if hasattr(getattr(decoder.layers[-1], "mlp", None), "down_proj"):
        decoder.layers[-1].mlp = nn.Identity()
    # A causal LM shares its config with its body; the caller may still hold the former.
    config = copy.deepcopy(decoder.config)
    keep_config_layers(config, range(deepest + 1))
    config.use_cache = False
    decoder.config = config
    return decoder


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
        rotaries: Mapping[int, SupportsRotate] | None = None,
    ) -> None:
        """Registers the hooks. `rotaries` by layer: where queries and rotated keys are needed too.

        Raises ConfigError for a layer that does not exist or has no projections of its own.
        """
        self._decoder = find_decoder(model)
        self._layers = tuple(layers)
        self._rotaries = rotaries
        self._outputs: dict[tuple[int, str], _HookOutput] = {}
        self._recording = self._needs_grad = False
        self._dims = {}
        parts = ("keys", "values", "queries") if rotaries is not None else ("keys", "values")
        for layer in self._layers:
            attention = _get_attention(self._decoder, layer)
            self._dims[layer] = int(attention.head_dim)
            for part in parts:
                _get_hooked_module(attention, part, layer).register_forward_hook(
                    partial(self._record, layer, part)
                )

    def __enter__(self) -> "Capture":
        _check_checkpointing(self._decoder)
        self._outputs.clear()
        self._recording = True
        # Decided here: by the time the layers are taken, the grad mode may be another.
        self._needs_grad = self._decoder.training and torch.is_grad_enabled()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._recording = False
        if kind is not None:
            self._outputs.clear()

    def pop_layers(self, tokens: Tokens) -> dict[int, Layer]:
        """K and V of the forward over `tokens`, by layer; nothing is held afterwards.

        Raises ConfigError if a student in training would learn nothing from a layer, and
        RuntimeError if no forward has run inside `with capture` since the last call.
        """
        outputs, self._outputs = self._outputs, {}
        missing = [layer for layer in self._layers if (layer, "keys") not in outputs]
        if missing:
            raise RuntimeError(f"layers {missing} did not run inside `with capture`.")
        return {layer: self._build_layer(layer, outputs, tokens) for layer in self._layers}

    def _record(
        self, layer: int, part: str, module: nn.Module, args: tuple[Tensor], output: Tensor
    ) -> None:
        if self._recording:
            hidden = args[0]
            seq_outside_heads = hidden.dim() == 4 and hidden.stride(1) > hidden.stride(2)
            # A dict entry, not a list item: a hook may fire more than once a step.
            self._outputs[layer, part] = _HookOutput(output, seq_outside_heads)

    def _build_layer(
        self, layer: int, outputs: Mapping[tuple[int, str], _HookOutput], tokens: Tokens
    ) -> Layer:
        seq, dim = tokens.ids.shape[1], self._dims[layer]
        keys = _to_heads_first(outputs[layer, "keys"], seq, dim)
        values = _to_heads_first(outputs[layer, "values"], seq, dim)
        if self._needs_grad and not (keys.requires_grad and values.requires_grad):
            raise ConfigError(
                f"layers includes student layer {layer}, whose K or V depends on no trainable "
                f"weight, so the KV loss could not teach it. Leave it out of layers.range or "
                f"train its k_proj and v_proj."
            )
        kv = KV(keys, values, tokens.mask)
        if self._rotaries is None:
            return Layer(kv, tokens)
        # Texts are padded on the right, so a token's position is its index.
        positions = torch.arange(seq, device=keys.device).expand(len(keys), seq)
        rotate = self._rotaries[layer].rotate
        queries = _to_heads_first(outputs[layer, "queries"], seq, dim)
        return Layer(
            kv,
            tokens,
            rotate(queries.detach(), positions).to(queries.dtype),
            rotate(keys.detach(), positions).to(keys.dtype),
        )


def _get_attention(decoder: Any, layer: int) -> Any:
    count = len(decoder.layers)
    if not 0 <= layer < count:
        raise ConfigError(f"layers asks for layer {layer}, but the model has 0 to {count - 1}.")
    block = decoder.layers[layer]
    attention = getattr(block, "self_attn", None)
    if attention is None:
        raise ConfigError(
            f"layer {layer} of {type(decoder).__name__} is a {type(block).__name__} without "
            f"self-attention, so it has no K and V. Leave it out of layers.range."
        )
    return attention


def _get_hooked_module(attention: nn.Module, part: str, layer: int) -> nn.Module:
    """The last module that shapes this part before the rotary embedding."""
    name = PREFIXES[part]
    projection = getattr(attention, f"{name}_proj", None)
    if projection is None or getattr(attention, "is_kv_shared_layer", False):
        raise ConfigError(
            f"layer {layer} is a {type(attention).__name__} without a {name}_proj of its own; "
            f"only separate projections can be captured. Use another model or layers.range."
        )
    return getattr(attention, f"{name}_norm", None) or projection


def _to_heads_first(hooked: _HookOutput, seq: int, dim: int) -> Tensor:
    """As (batch, heads, seq, dim), whichever layout the module works in."""
    x = hooked.output
    if x.dim() == 3:
        return x.unflatten(-1, (-1, dim)).transpose(1, 2)
    # Qwen3 norms (batch, seq, heads, dim), Gemma 3 (batch, heads, seq, dim). Where both axes are
    # equally long, only the memory order of the norm's input, a view of the projection, differs.
    square = x.shape[1] == x.shape[2]
    seq_first = hooked.seq_outside_heads if square else x.shape[1] == seq
    return x.transpose(1, 2) if seq_first else x


def _check_checkpointing(decoder: Any) -> None:
    """Raises ConfigError where gradient checkpointing is on and reentrant."""
    for module in (decoder, *decoder.layers):
        function = getattr(module, "_gradient_checkpointing_func", None)
        if not (getattr(module, "gradient_checkpointing", False) and module.training):
            continue
        # A functools.partial of torch's checkpoint, whose default is reentrant.
        if getattr(function, "keywords", {}).get("use_reentrant", True) is not False:
            raise ConfigError(
                "train.gradient_checkpointing_kwargs.use_reentrant is not false: reentrant "
                "checkpointing silently removes the gradient of captured K and V. "
                "Set use_reentrant to false."
            )
