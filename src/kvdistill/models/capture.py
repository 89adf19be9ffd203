"""Keys and values of a decoder's layers, taken before the rotary embedding.

Forward hooks sit on the modules that attention/sources.py has proven to give them (a projection, or
the norm behind it), not on the cache: a cache holds rotated keys, detaches from checkpointed blocks
and forgets beyond a sliding window. A hook only remembers a tensor, so recomputation cannot disturb
it, and nothing is remembered outside `with capture`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import TracebackType
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from kvdistill.errors import ConfigError
from kvdistill.models.attention.bias import leaves_bias_out, split_bias
from kvdistill.models.attention.match import Heads, Source
from kvdistill.models.attention.rotary import Rotary
from kvdistill.models.attention.sources import LayerSources, collect_rotaries, locate_sources
from kvdistill.models.decoder import find_decoder, get_layers
from kvdistill.types import KV, KVBias, Layer, Tokens

HeadBias = Float[Tensor, "heads dim"]


class Capture:
    """Records K and V (and rotated queries and keys) of the chosen layers inside `with capture`.

    Build it once, after PEFT has wrapped the model, and keep it as long as the model:

        with capture:
            model(**tokens.model_inputs, use_cache=False)
        layers = capture.pop_layers(tokens)
    """

    def __init__(
        self, model: nn.Module, layers: Sequence[int], *, with_attention: bool = False
    ) -> None:
        """Proves where K and V are read, by a forward over a few tokens, and registers the hooks.

        `with_attention`: queries and rotated keys are needed too. Under ZeRO-3 every rank must call
        this. Raises ConfigError for a layer that does not exist, or whose parts cannot be read.
        """
        self._decoder = find_decoder(model)
        self._sources = locate_sources(model, layers)
        self._rotaries = self.read_rotaries() if with_attention else None
        self._outputs: dict[tuple[int, str], CapturedPart] = {}
        self._recording = self._needs_grad = False
        for layer, sources in self._sources.items():
            hooked = {"keys": sources.keys, "values": sources.values}
            if with_attention:
                hooked["queries"] = sources.get_queries()
            for part, source in hooked.items():
                # What is clipped is the sum with the bias, so it cannot be left out.
                bias = split_bias(source.module) if source.limit is None else None
                hook = partial(self._record, layer, part, bias)
                # Before the hook that adds the bias.
                source.module.register_forward_hook(hook, prepend=True)

    def read_rotaries(self) -> dict[int, Rotary]:
        """Each layer's rotary. Raises ConfigError for one that a run does not reproduce."""
        return collect_rotaries(self._sources)

    def check_trained(self) -> None:
        """Raises ConfigError where a layer's K or V has no trained weight of its own."""
        for layer, sources in self._sources.items():
            for source in (sources.keys, sources.values):
                if not any(p.requires_grad for p in source.get_projection().parameters()):
                    raise ConfigError(
                        f"no weight of {source.projection_name} in student layer {layer} is "
                        f"trained, though it makes the compared K or V. Add "
                        f"{source.projection_name.rpartition('.')[2]} to adapter.targets, or use "
                        f"adapter=none."
                    )

    def list_kv_parameters(self) -> list[nn.Parameter]:
        """Trained weights of the projections that make K and V, each once."""
        return list_trained_parameters(self._sources.values())

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
        missing = [layer for layer in self._sources if (layer, "keys") not in outputs]
        if missing:
            raise RuntimeError(f"layers {missing} did not run inside `with capture`.")
        return {layer: self._build_layer(layer, outputs, tokens) for layer in self._sources}

    def _record(
        self,
        layer: int,
        part: str,
        bias: Tensor | None,
        module: nn.Module,
        args: Any,
        output: Tensor,
    ) -> None:
        if self._recording:
            is_apart = bias is not None and leaves_bias_out(module)
            # A dict entry, not a list item: a hook may fire more than once a step.
            self._outputs[layer, part] = CapturedPart(output, bias if is_apart else None)

    def _build_layer(
        self, layer: int, outputs: dict[tuple[int, str], "CapturedPart"], tokens: Tokens
    ) -> Layer:
        sources = self._sources[layer]

        def read_part(part: str, source: Source) -> tuple[Heads, HeadBias | None]:
            # Taken out: unpacking copies, and of all layers at once that would be twice as much.
            heads, bias = outputs.pop((layer, part)).read(source)
            return heads if tokens.packed is None else tokens.packed.unpack(heads), bias

        keys, key_bias = read_part("keys", sources.keys)
        values, value_bias = read_part("values", sources.values)
        if self._needs_grad and not (keys.requires_grad and values.requires_grad):
            raise ConfigError(
                f"layers includes student layer {layer}, whose K or V depends on no trainable "
                f"weight, so the KV loss could not teach it. Leave it out of layers.range or "
                f"train its {sources.keys.name} and {sources.values.name}."
            )
        kv = KV(keys, values, tokens.mask, bias=pair_biases(key_bias, value_bias))
        if self._rotaries is None:
            return Layer(kv, tokens)
        # Texts are padded on the right, so a token's position is its index.
        positions = torch.arange(keys.shape[2], device=keys.device).expand(len(keys), -1)
        rotate = self._rotaries[layer].rotate
        queries, query_bias = read_part("queries", sources.get_queries())
        captured = Layer(
            kv,
            tokens,
            queries=queries.detach(),
            rotary=self._rotaries[layer],
            query_bias=None if query_bias is None else query_bias.detach(),
            query_scale=sources.query_scale,
        )
        return replace(
            captured,
            # As attention has them: rounded with their bias, once it is added.
            rotated_queries=rotate(captured.complete_queries(), positions).to(queries.dtype),
            rotated_keys=rotate(add_to_heads(keys.detach(), key_bias), positions).to(queries.dtype),
        )


@dataclass(frozen=True)
class CapturedPart:
    """What a hook remembers of a module."""

    output: Tensor
    bias: Tensor | None
    """What the output leaves out; see models/attention/bias.py."""

    def read(self, source: Source) -> tuple[Heads, HeadBias | None]:
        """The heads of the source, and what they leave out."""
        heads = source.read_heads(self.output)
        if self.bias is None:
            return heads, None
        return heads, source.read_heads(self.bias[None, None])[0, :, 0]


def pair_biases(keys: HeadBias | None, values: HeadBias | None) -> KVBias | None:
    """Both as one; zeros for one that is missing beside the other."""
    if keys is None and values is None:
        return None
    # A layer has as many heads of either, and as wide ones.
    zeros = torch.zeros_like(values if keys is None else keys)  # type: ignore[arg-type]
    return KVBias(zeros if keys is None else keys, zeros if values is None else values)


def add_to_heads(x: Heads, bias: HeadBias | None) -> Heads:
    """The heads with their bias, then in float32; no gradient reaches it."""
    return x if bias is None else x.float() + bias.detach().float()[:, None]


def list_trained_parameters(sources: Iterable[LayerSources]) -> list[nn.Parameter]:
    """Trained weights of the projections that make K and V, each once."""
    # Under LoRA these are the adapters' weights: the projections' own are frozen.
    parts = [source.get_projection() for each in sources for source in (each.keys, each.values)]
    # By identity: keys and values may leave one projection.
    trained = {id(p): p for part in parts for p in part.parameters() if p.requires_grad}
    return list(trained.values())


def _check_checkpointing(decoder: Any) -> None:
    """Raises ConfigError where gradient checkpointing is on and reentrant."""
    for module in (decoder, *get_layers(decoder)):
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
