"""Where a number that is none came from: looked for only once something has gone wrong."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from kvdistill.train.module import Distiller
from kvdistill.types import Batch

NAMED = 8
"""Row ids in an error's one line; the log has all."""


def weight(module: nn.Module) -> str:
    """The first weight that is not finite, by name; empty if all are."""
    for name, value in module.named_parameters():
        if not bool(torch.isfinite(value).all()):
            return f"weight {name}"
    return ""


def gradient(module: nn.Module) -> str:
    """The first gradient that is not finite, in the order of the backward pass."""
    for name, value in reversed(list(module.named_parameters())):
        if value.grad is not None and not bool(torch.isfinite(value.grad).all()):
            return f"gradient of {name}"
    return "sum of the squared gradients, each of them finite"


@torch.no_grad()
def loss(module: Distiller, batch: Batch) -> str:
    """What made the loss of a batch: a weight, a module's output, or a target, by name."""
    return weight(module) or output(module, batch) or target(module, batch) or "the losses' sum"


def output(module: Distiller, batch: Batch) -> str:
    """The first module of the student whose output is not finite."""
    found: list[str] = []

    def look(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(_: nn.Module, __: Any, out: Any) -> None:
            if isinstance(out, Tensor) and not found and not bool(torch.isfinite(out).all()):
                found.append(name)

        return hook

    leaves = [(n, part) for n, part in module.student.named_modules() if not list(part.children())]
    hooks = [part.register_forward_hook(look(name)) for name, part in leaves]
    try:
        module.read(batch)
    finally:
        for hook in hooks:
            hook.remove()
    return f"output of {found[0]}" if found else ""


def target(module: Distiller, batch: Batch) -> str:
    """The first layer whose fused target is not finite where it counts."""
    if module.rooms is None:
        return ""
    for layer, _, goal in module.pairs(batch):
        for part, value in (("K", goal.keys), ("V", goal.values)):
            counted = value.transpose(1, 2)[goal.mask]
            if not bool(torch.isfinite(counted).all()):
                return f"target {part} of student layer {layer}"
    return ""


def rows(ids: list[str]) -> str:
    """The first rows of a batch, and how many more."""
    more = f" and {len(ids) - NAMED} more, all in the log" if len(ids) > NAMED else ""
    return f"rows {', '.join(ids[:NAMED])}{more}"
