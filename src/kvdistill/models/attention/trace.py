"""A forward over a few tokens, and all that it shows of each layer's queries, keys and values.

What a layer hands to its cache is its K and V by definition, whatever its modules are called; what
it multiplies with its keys are its queries. Both are kept here, beside what every module gave, so
that models/attention/sources.py can say which module's output they are.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from transformers import DynamicCache

from kvdistill.errors import ConfigError
from kvdistill.models.attention.implementation import use_plain_attention
from kvdistill.models.decoder import get_compute_device, get_layers

LENGTHS = (5, 7, 11)
"""Tokens of the forward; one that is no number of heads, so that no axis is taken for another."""
PRODUCTS = (F.scaled_dot_product_attention, torch.matmul, Tensor.matmul, Tensor.__matmul__)
"""What attention multiplies queries and keys with."""


class TraceError(ConfigError):
    """No forward could be made, so nothing is known of the model's K and V."""


@dataclass(frozen=True)
class ModuleCall:
    """One call of a module of a layer."""

    name: str
    """Within its layer: self_attn.k_proj."""
    module: nn.Module
    input: Tensor | None
    output: Tensor


@dataclass
class LayerTrace:
    """What one layer did, in order."""

    calls: list[ModuleCall] = field(default_factory=list)
    keys: Tensor | None = None
    """As handed to the cache, rotated; None where nothing was."""
    values: Tensor | None = None
    operands: list[Tensor] = field(default_factory=list)
    """First factors of its products; the rotated queries are among them."""
    scale: float | None = None
    """What a fused attention was told to multiply its products with; None where none was."""


@torch.no_grad()
def trace_layers(decoder: nn.Module) -> list[LayerTrace]:
    """What every layer of a decoder did with a few tokens, in evaluation mode and without autocast.

    The decoder is left as it was. Under ZeRO-3 every rank must call this.
    """
    layers = get_layers(decoder)
    tracer = _Tracer(len(layers))
    hooks = [
        hook for number, layer in enumerate(layers) for hook in tracer.hook_layer(number, layer)
    ]
    try:
        plain = torch.autocast(get_compute_device(decoder).type, enabled=False)
        with _evaluation_mode(decoder), use_plain_attention(decoder), plain, tracer:
            _run_with_cache(decoder, tracer)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # whatever a model's own code raises
        raise TraceError(
            f"{type(decoder).__name__} fails on a forward with a cache ({type(error).__name__}: "
            f"{' '.join(str(error).split())[:200]}), so where it has K and V cannot be seen. "
            f"It can be fine-tuned (arm=sft) and scored alone."
        ) from error
    finally:
        for hook in hooks:
            hook.remove()
    return tracer.layers


def _run_with_cache(decoder: nn.Module, tracer: "_Tracer") -> None:
    """One forward, whose keys and values are noted where they are cached or, failing that, kept."""
    config: Any = decoder.config
    ids = choose_ids(config.get_text_config()).to(get_compute_device(decoder))
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "use_cache": True}
    try:
        decoder(**inputs, past_key_values=_TracingCache(tracer, config=config))
    except torch.OutOfMemoryError:
        raise
    except Exception:  # noqa: BLE001 - whatever a model's own code raises of a cache it does not know
        tracer.forget()
        # It makes one of its own.
        tracer.note_returned(decoder(**inputs).past_key_values, ids.shape[1])


def choose_ids(config: Any) -> Tensor:
    """One text of a few unlike tokens."""
    sizes = {getattr(config, name, None) for name in ("num_attention_heads", "num_key_value_heads")}
    seq = next(length for length in LENGTHS if length not in sizes)
    # From the middle of the vocabulary: its ends are padding and control tokens, whose embedding
    # may be zero.
    return (torch.arange(seq) + config.vocab_size // 2)[None] % config.vocab_size


class _Tracer(TorchFunctionMode):
    """Notes what passes, for the layer that is running."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.layers = [LayerTrace() for _ in range(count)]
        self._running: LayerTrace | None = None

    def forget(self) -> None:
        """Drops what was noted, for another forward."""
        self.layers, self._running = [LayerTrace() for _ in self.layers], None

    def hook_layer(self, number: int, layer: nn.Module) -> Iterator[Any]:
        """Hooks on a layer and all within it; to be removed afterwards."""
        yield layer.register_forward_pre_hook(partial(self._enter, number))
        for name, module in layer.named_modules():
            yield module.register_forward_hook(partial(self._note_call, name), with_kwargs=True)

    def note_cache(self, keys: Tensor, values: Tensor) -> None:
        """What the running layer hands to its cache."""
        if self._running is not None:
            self._running.keys, self._running.values = keys, values

    def note_returned(self, cache: Any, seq: int) -> None:
        """What each layer has kept, of a model that makes a cache of its own.

        A pair of keys and values a layer, as code from before transformers' caches returns them,
        or a cache of a class of its own. A layer that kept less than `seq` tokens shows nothing.
        """
        for trace, kept in zip(self.layers, getattr(cache, "layers", cache), strict=True):
            is_pair = isinstance(kept, tuple)
            keys, values = (
                kept[:2] if is_pair else (getattr(kept, part, None) for part in ("keys", "values"))
            )
            if isinstance(keys, Tensor) and keys.dim() == 4 and keys.shape[2] == seq:
                trace.keys, trace.values = keys, values

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func in PRODUCTS and self._running is not None and args:
            self._running.operands.append(args[0])
            if func is F.scaled_dot_product_attention and kwargs:
                self._running.scale = kwargs.get("scale")
        return func(*args, **(kwargs or {}))

    def _enter(self, number: int, *_: Any) -> None:
        self._running = self.layers[number]

    def _note_call(self, name: str, module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        if isinstance(output, Tensor) and self._running is not None:
            inputs = (x for x in (*args, *kwargs.values()) if isinstance(x, Tensor))
            call = ModuleCall(name, module, next(inputs, None), output)
            self._running.calls.append(call)


class _TracingCache(DynamicCache):
    """A cache that notes what it is given before it keeps it: some keep less than that."""

    def __init__(self, tracer: _Tracer, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._tracer = tracer

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> Any:
        """As the base class, after the note."""
        self._tracer.note_cache(key_states, value_states)
        return super().update(key_states, value_states, *args, **kwargs)


@contextmanager
def _evaluation_mode(module: nn.Module) -> Iterator[None]:
    """While this is open nothing drops out; afterwards each part is in the mode that it had."""
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for part, training in modes.items():
            part.training = training
