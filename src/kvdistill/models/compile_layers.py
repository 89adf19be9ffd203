"""torch.compile of a decoder, layer by layer.

Layers are alike, so that one compilation serves all, and what stands between them (capture, the
checkpointing of a layer, whatever wraps the model) stays outside of what is compiled.
"""

from collections.abc import Callable
from functools import partial
from types import MethodType
from typing import Any

import torch
from torch import nn
from transformers.modeling_layers import GradientCheckpointingLayer

from kvdistill.models.decoder import find_decoder, get_layers

BACKEND = "inductor"


def compile_layers(model: nn.Module, backend: str | Callable[..., Any] = BACKEND) -> None:
    """Compiles the forward of every decoder layer, in training alone; `backend` is torch's.

    Call it once all hooks are registered. In evaluation nothing is compiled: a model that writes
    answers would be compiled anew for every length of its cache.
    """
    for layer in get_layers(find_decoder(model)):
        for module in layer.modules():
            hooks: Any = module._forward_hooks
            # They keep tensors for whoever reads them later, which is nothing of a graph's.
            hooks.update({key: torch.compiler.disable(hook) for key, hook in hooks.items()})
        plain = type(layer).forward
        if isinstance(layer, GradientCheckpointingLayer):
            plain = getattr(plain, "__wrapped__", plain)
        # Shapes change with every batch: one graph for all of them.
        compiled = torch.compile(MethodType(plain, layer), backend=backend, dynamic=True)
        layer.forward = MethodType(partial(_run_layer, compiled), layer)


def _run_layer(compiled: Any, layer: Any, *args: Any, **kwargs: Any) -> Any:
    """The layer's forward, compiled in training; checkpointed around what is compiled."""
    if not layer.training:
        return type(layer).forward(layer, *args, **kwargs)
    if getattr(layer, "gradient_checkpointing", False):
        return layer._gradient_checkpointing_func(partial(compiled, **kwargs), *args)
    return compiled(*args, **kwargs)
