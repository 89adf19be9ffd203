"""The stack of decoder layers of a causal LM, whatever the model calls its parts."""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from kvdistill.errors import ConfigError
from kvdistill.models.geometry import keep_config_layers

FINAL_NORMS = ("norm", "final_layernorm", "final_layer_norm", "ln_f")
"""What transformers calls the norm behind the last layer."""
TRUNCATED = "truncated_at"


def find_decoder(model: nn.Module) -> Any:
    """The module that holds the decoder layers; its forward takes ids.

    `model` is a causal LM, PEFT's wrapper of one, or a body.
    Raises ConfigError for a model without a list of as many layers as its config states.
    """
    return model.get_submodule(find_layer_list(model).rpartition(".")[0])


def find_layer_list(model: nn.Module) -> str:
    """The name in `model` of its list of decoder layers: model.layers, transformer.h.

    Raises ConfigError for a model without a list of as many layers as its config states.
    """
    decoder: Any = getattr(model, "get_decoder", lambda: model)()
    # Of a multimodal model the decoder alone is searched: its vision tower has layers as well.
    prefix = next((name for name, module in model.named_modules() if module is decoder), "")
    count = getattr(decoder.config.get_text_config(), "num_hidden_layers", None)
    for name, module in decoder.named_modules():
        if isinstance(module, nn.ModuleList) and len(module) == count:
            return ".".join(part for part in (prefix, name) if part)
    raise ConfigError(
        f"{type(model).__name__} has no list of {count} decoder layers, so none can be captured or "
        f"kept. "
        f"It can be fine-tuned (arm=sft) and scored alone; to distil, use a model that "
        f"docs/architectures.md lists as student and teacher."
    )


def get_layers(decoder: nn.Module) -> nn.ModuleList:
    """The layers of what `find_decoder` gave."""
    layers = decoder.get_submodule(find_layer_list(decoder))
    assert isinstance(layers, nn.ModuleList)
    return layers


def check_layers(count: int, layers: Sequence[int]) -> None:
    """Raises ConfigError for a layer that a model of `count` layers does not have."""
    for layer in layers:
        if not 0 <= layer < count:
            raise ConfigError(f"layers asks for layer {layer}, but the model has 0 to {count - 1}.")


def truncate_decoder(model: nn.Module, deepest: int) -> nn.Module:
    """The body of `model` up to layer `deepest`; its forward stops there and gives no logits.

    The model itself is changed. Upper layers, the last layer's MLP and the final norm are dropped,
    since only K and V are read. Call it before ZeRO-3 partitions the weights. Raises ConfigError
    for a layer that the model does not have.
    """
    decoder = find_decoder(model)
    if decoder.__dict__.get(TRUNCATED) == deepest:
        return decoder
    layers = get_layers(decoder)
    check_layers(len(layers), [deepest])
    setattr(decoder, find_layer_list(decoder), layers[: deepest + 1])
    for name in FINAL_NORMS:
        if isinstance(getattr(decoder, name, None), nn.Module):
            setattr(decoder, name, nn.Identity())
    # A mixture of experts stays: some models unpack a tuple that its block returns.
    last: Any = layers[deepest]
    if hasattr(getattr(last, "mlp", None), "down_proj"):
        last.mlp = nn.Identity()
    # A causal LM shares its config with its body; the caller may still hold the former.
    config = copy.deepcopy(decoder.config)
    keep_config_layers(config, range(deepest + 1))
    config.use_cache = False
    decoder.config = config
    # Past nn.Module.__setattr__: a plain note, no part of the model.
    decoder.__dict__[TRUNCATED] = deepest
    return decoder


def get_compute_device(body: nn.Module) -> torch.device:
    """Where a body's input must lie; offloaded weights rest elsewhere."""
    # Under ZeRO-3 a parameter is empty between forwards; its device need not be the engine's.
    engine = body.__dict__.get("engine")
    device: torch.device = (
        next(body.parameters()).device if engine is None else torch.device(engine.device)
    )
    return device
