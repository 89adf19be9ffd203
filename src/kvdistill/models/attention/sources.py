"""Where a layer's keys before the rotary embedding, its values and its queries are read.

Not by name, since families call a norm behind k_proj k_norm, k_layernorm or nothing at all, but by
proof: the module whose output, turned by the layer's rotary embedding, is what the layer hands to
its cache. Where queries, keys and values leave one projection, the proof says which of its heads
are which. What cannot be proven is refused, with the reason.
"""

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor, nn

from kvdistill.errors import ConfigError
from kvdistill.models.attention.match import Heads, Source, drop_copies, find_source
from kvdistill.models.attention.rotary import NO_ROTATION, LayerRotary, Rotary, list_rotaries
from kvdistill.models.attention.trace import LayerTrace, ModuleCall, trace_layers
from kvdistill.models.decoder import check_layers, find_decoder, get_layers
from kvdistill.models.geometry import read_kv_heads

WAY_OUT = (
    "It can be fine-tuned (arm=sft) and scored alone; to distil, use a model that "
    "docs/architectures.md lists as student and teacher."
)


@dataclass(frozen=True)
class LayerSources:
    """Where a layer's parts are read, and how it turns its keys."""

    layer_name: str
    """As errors call it: layer 3 of LlamaModel."""
    keys: Source
    values: Source
    queries: Source | None
    """None where no module was seen to give what attention multiplies with the keys."""
    rotary: LayerRotary
    query_scale: float
    """What makes products of queries and keys over sqrt(dim) the attention's own logits: 1 unless
    the model scales them otherwise."""

    def get_queries(self) -> Source:
        """Where queries are read. Raises ConfigError where that could not be proven."""
        if self.queries is None:
            raise ConfigError(
                f"{self.layer_name} multiplies its keys with queries that are no module's output, "
                f"turned. Use a compression that reads no attention (full, keep_last)."
            )
        return self.queries


def locate_sources(model: nn.Module, layers: Sequence[int]) -> dict[int, LayerSources]:
    """The sources of these layers, proven by one forward over a few tokens.

    Under ZeRO-3 every rank must call this. Raises ConfigError for a layer that does not exist and
    for one whose K and V no module's output is.
    """
    decoder = find_decoder(model)
    check_layers(len(get_layers(decoder)), layers)
    locators = trace_sources(decoder)
    return {layer: locators[layer]() for layer in layers}


def locate_any_sources(model: nn.Module) -> dict[int, LayerSources]:
    """The sources of every layer that has some; none of a model that cannot be captured."""
    sources = {}
    with suppress(ConfigError):
        decoder = find_decoder(model)
        for layer, locate in enumerate(trace_sources(decoder)):
            with suppress(ConfigError):
                sources[layer] = locate()
    return sources


def collect_rotaries(sources: dict[int, LayerSources]) -> dict[int, Rotary]:
    """Each layer's rotary, where a run may turn keys by it.

    Raises ConfigError for a layer without rotary embedding and for kinds that a run does not
    reproduce (frequencies that depend on the length, interleaved pairs).
    """
    for each in sources.values():
        if reason := each.rotary.explain_refusal():
            raise ConfigError(
                f"{each.layer_name} {reason}. Use position=none and a compression that reads no "
                f"attention, or leave the layer out of layers.range."
            )
    return {layer: each.rotary.rotary for layer, each in sources.items()}


def trace_sources(decoder: Any) -> list[Callable[[], LayerSources]]:
    """For each layer, what locates its sources in the trace of one forward."""
    traces = trace_layers(decoder)
    # Read after the forward: frequencies that depend on the text are now those of this one.
    rotaries = list_rotaries(decoder)
    config = decoder.config.get_text_config()
    name = type(decoder).__name__
    return [
        partial(_locate_layer, layer, trace, rotaries, config, f"layer {number} of {name}")
        for number, (layer, trace) in enumerate(zip(get_layers(decoder), traces, strict=True))
    ]


def _locate_layer(
    layer: nn.Module, trace: LayerTrace, rotaries: Sequence[LayerRotary], config: Any, name: str
) -> LayerSources:
    cached_keys, cached_values = trace.keys, trace.values
    if cached_keys is None or cached_values is None:
        raise ConfigError(
            f"{name} hands no K and V of its own to a cache: it is a convolution or a recurrence, "
            f"or reads another layer's. Leave it out of layers.range, or use another model."
        )
    if cached_keys.shape != cached_values.shape:
        raise ConfigError(
            f"{name} keeps {_describe_width(cached_keys)} and {_describe_width(cached_values)} a "
            f"token in its cache, a latent in place of K and V by head (MLA). {WAY_OUT}"
        )
    query_heads, kv_heads = config.num_attention_heads, read_kv_heads(config)
    limit = read_limit(config)
    values = find_source(trace.calls, drop_copies(cached_values, kv_heads), NO_ROTATION, limit)
    if values is None:
        raise ConfigError(f"{name} caches values that are no module's output. {WAY_OUT}")
    own_keys = drop_copies(cached_keys, kv_heads)
    keys, rotary = _find_keys(trace.calls, own_keys, rotaries, limit, name)
    queries = (
        find_source(trace.calls, operand, rotary.rotary, limit)
        for operand in trace.operands
        if operand.dim() == 4 and operand.shape[1::2] == (query_heads, cached_keys.shape[3])
    )
    query_scale = _read_query_scale(layer, keys.name, trace, cached_keys.shape[3])
    return LayerSources(name, keys, values, next(filter(None, queries), None), rotary, query_scale)


def _read_query_scale(layer: nn.Module, keys: str, trace: LayerTrace, dim: int) -> float:
    """`LayerSources.query_scale`, from what the traced attention multiplied its products with.

    Gemma 2 and 3 have query_pre_attn_scalar^-0.5, Granite attention_multiplier. Where no fused
    attention was seen it is `scaling` of the module around the one of the keys, named `keys`.
    """
    attention = layer.get_submodule(keys.rpartition(".")[0])
    scale = trace.scale if trace.scale is not None else getattr(attention, "scaling", None)
    if scale is None or math.isclose(scale * dim**0.5, 1):
        return 1.0
    return float(scale) * dim**0.5


def read_limit(config: Any) -> float | None:
    """Beyond which a model clips queries, keys and values (MPT, DBRX, OLMo); None for none.

    Stated, not seen: the few tokens of the forward need not reach it, and texts will.
    """
    limit = getattr(getattr(config, "attn_config", config), "clip_qkv", None)
    return float(limit) if limit else None


def _find_keys(
    calls: Sequence[ModuleCall],
    cached: Heads,
    rotaries: Sequence[LayerRotary],
    limit: float | None,
    name: str,
) -> tuple[Source, LayerRotary]:
    for rotary in rotaries:
        source = find_source(calls, cached, rotary.rotary, limit)
        if source is None:
            continue
        # Keys that a layer does not turn are a projection's, or a norm's right behind one.
        if not rotary.rope_type and len(rotaries) > 1 and source.projection is None:
            raise ConfigError(
                f"{name} passes its keys through {source.name} behind the rotary embedding, so "
                f"no keys before it, turned, are those of its cache. {WAY_OUT}"
            )
        return source, rotary
    raise ConfigError(
        f"{name} caches keys that are no module's output turned by a rotary embedding of its "
        f"model. {WAY_OUT}"
    )


def _describe_width(cached: Tensor) -> str:
    return f"{cached.shape[1]} x {cached.shape[-1]}"
