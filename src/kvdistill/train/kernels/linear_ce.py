"""Cross-entropy from hidden states, without the logits of all tokens at once.

Logits of a vocabulary of 150,000 in float32, with their gradient, are 1.2 GB a thousand tokens.
`chunked` takes a few tokens at a time and computes their logits again in the backward pass, one
product of the output layer more; `liger` is the fused kernel of the package liger-kernel (Hsu et
al. 2024, arXiv 2410.10989), which makes the gradient in the forward pass.
"""

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from kvdistill.errors import ConfigError

SETTING = "train.linear_ce"
CHUNK_LOGITS = 2**27
"""Logits that are there at once: 512 MiB in float32."""

LinearCE = Callable[[Any, Float[Tensor, "predicted width"], Int[Tensor, " predicted"]], Tensor]
"""Cross-entropy of an output layer, given hidden states and labels, summed, in nats."""


def check_linear_ce(kind: str) -> None:
    """Raises ConfigError where the kernel of this name is not installed."""
    if kind == "liger" and find_spec("liger_kernel") is None:
        raise ConfigError(
            f"{SETTING}=liger needs the package liger-kernel, which is not installed. Install it "
            f"(pip install liger-kernel), or use {SETTING}=chunked, which needs none."
        )


def get_linear_ce(kind: str) -> LinearCE | None:
    """The function of this name; None for `none`, where logits are computed whole."""
    check_linear_ce(kind)
    return {"none": None, "chunked": sum_chunked_ce, "liger": sum_liger_ce}[kind]


def sum_chunked_ce(
    head: nn.Module,
    hidden: Float[Tensor, "predicted width"],
    labels: Int[Tensor, " predicted"],
    chunk_logits: int = CHUNK_LOGITS,
) -> Tensor:
    """Some tokens at a time, in float32; see the module's docstring."""

    def sum_chunk(some: Tensor, of: Tensor) -> Tensor:
        return F.cross_entropy(head(some[None])[0].float(), of, reduction="sum")

    vocabulary = head(hidden[None, :0]).shape[-1]
    size = max(1, chunk_logits // vocabulary)
    total = hidden.new_zeros((), dtype=torch.float32)
    for some, of in zip(hidden.split(size), labels.split(size), strict=True):
        total = total + checkpoint(sum_chunk, some, of, use_reentrant=False)
    return total


def sum_liger_ce(
    head: Any, hidden: Float[Tensor, "predicted width"], labels: Int[Tensor, " predicted"]
) -> Tensor:
    """By Liger's kernel, whose sums over tokens are in float32."""
    from liger_kernel.transformers import LigerFusedLinearCrossEntropyLoss

    device = hidden.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden.dtype
    # The kernel multiplies them as they are: autocast does not reach into it.
    weight, some = head.weight.to(dtype), hidden.to(dtype)
    bias = None if head.bias is None else head.bias.to(dtype)
    kernel = LigerFusedLinearCrossEntropyLoss(reduction="sum", accum_dtype=torch.float32)
    loss: Tensor = kernel(weight, some, labels, bias)
    return loss
