"""A projection's bias, kept out of what it gives in half precision.

Qwen2's first layer adds a bias to its keys that is hundreds of times their spread: rounded to
bfloat16 with it, a key keeps 8 bits of the bias and little of what tells tokens apart. Such a
projection rounds its product alone; the bias is added afterwards, so that the model computes on as
before while a hook sees the product.
"""

from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.pytorch_utils import Conv1D

HALF = (torch.bfloat16, torch.float16)


def split_bias(module: nn.Module) -> nn.Parameter | None:
    """Lets a projection leave out its bias in half precision, and a hook of its own add it.

    Hooks that are to see the output without bias are registered with `prepend=True`. Returns the
    bias, in the shape of the output's last axis; None where the module is no projection with one
    (a norm behind one, say). Asked again, it changes nothing.
    """
    linear = find_biased_linear(module)
    if linear is None:
        return None
    if "forward" not in module.__dict__:
        # A bound method, not a closure: a copy of the module gets one of its own.
        forward = _multiply if linear is module else _forward_without_bias
        module.forward = MethodType(forward, module)
        module.register_forward_hook(_add_bias)
    bias: nn.Parameter = linear.bias  # type: ignore[assignment]
    return bias


def leaves_bias_out(module: nn.Module) -> bool:
    """Whether a module that `split_bias` has changed computes in half precision now."""
    weight: Any = find_biased_linear(module).weight  # type: ignore[union-attr]
    device = weight.device.type
    if torch.is_autocast_enabled(device):
        return torch.get_autocast_dtype(device) in HALF
    return weight.dtype in HALF


def find_biased_linear(module: nn.Module) -> nn.Module | None:
    """The projection whose bias is added to a module's output: itself, or what an adapter wraps."""
    linear = getattr(module, "base_layer", module)  # PEFT's name of what a LoRA layer wraps
    # Subclasses may compute otherwise (packed weights): only what is known to be x W + b.
    known = type(linear) is nn.Linear or type(linear) is Conv1D
    return linear if known and linear.bias is not None else None


def _multiply(self: Any, x: Tensor) -> Tensor:
    """The projection's own forward, but in half precision without its bias."""
    if not leaves_bias_out(self):
        output: Tensor = type(self).forward(self, x)
        return output
    return F.linear(x, self.weight if isinstance(self, nn.Linear) else self.weight.T)


def _forward_without_bias(self: Any, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """An adapter's own forward, but in half precision without the bias of what it wraps."""
    linear = find_biased_linear(self)
    if linear is None or not leaves_bias_out(self):
        return type(self).forward(self, x, *args, **kwargs)
    bias = linear.bias
    linear._parameters["bias"] = torch.zeros_like(bias) if isinstance(linear, Conv1D) else None  # type: ignore[assignment, arg-type]
    try:
        return type(self).forward(self, x, *args, **kwargs)
    finally:
        linear._parameters["bias"] = bias  # type: ignore[assignment]


def _add_bias(module: nn.Module, _: Any, output: Tensor) -> Tensor:
    if not leaves_bias_out(module):
        return output
    linear: Any = find_biased_linear(module)
    # In the output's precision: what follows expects it.
    return output + linear.bias.to(output.dtype)
