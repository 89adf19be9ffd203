"""Finds where a NaN or an infinity came from, once a loss, gradient or weight is not finite."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from kvdistill.train.module import Distiller
from kvdistill.types import Batch

MAX_ROW_IDS = 8
"""Row ids in an error's one line; the log has all."""


def find_weight(module: nn.Module) -> str:
    """The first weight that is not finite, by name; empty if all are."""
    for name, value in module.named_parameters():
        if not bool(torch.isfinite(value).all()):
            return f"weight {name}"
    return ""


def find_gradient(module: nn.Module) -> str:
    """The first gradient that is not finite, in the order of the backward pass.

    Parameters are named in the order of the forward pass.
    """
    for name, value in reversed(list(module.named_parameters())):
        if value.grad is not None and not bool(torch.isfinite(value.grad).all()):
            return f"gradient of {name}"
    # Large gradients may overflow only where they are squared and summed.
    return "sum of the squared gradients, each of them finite"


@torch.no_grad()
def find_cause(module: Distiller, batch: Batch) -> str:
    """What made the loss of a batch not finite: a weight, a module's output or a target, by name.

    The batch is read again, since the loss alone does not tell.
    """
    return (
        find_weight(module)
        or find_output(module, batch)
        or find_target(module, batch)
        or "the losses' sum"
    )


def find_output(module: Distiller, batch: Batch) -> str:
    """The first leaf module of the student whose output is not finite; empty if all are."""
    names: list[str] = []

    def make_hook(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(_: nn.Module, __: Any, out: Any) -> None:
            # Hooks run in the order of the forward pass, so the first name is the origin.
            if isinstance(out, Tensor) and not names and not bool(torch.isfinite(out).all()):
                names.append(name)

        return hook

    # Containers are left out: their output only passes on what a leaf within them made.
    leaves = [(n, part) for n, part in module.student.named_modules() if not list(part.children())]
    hooks = [part.register_forward_hook(make_hook(name)) for name, part in leaves]
    try:
        module.compute_logits(batch)
    finally:
        for hook in hooks:
            hook.remove()
    return f"output of {names[0]}" if names else ""


def find_target(module: Distiller, batch: Batch) -> str:
    """The first layer whose fused target is not finite; empty if all are.

    Padding is not looked at: it may hold anything under its mask.
    """
    if module.objective is None:
        return ""
    for layer, _, target in module.iterate_targets(batch):
        for part, value in (("K", target.keys), ("V", target.values)):
            counted = value.transpose(1, 2)[target.mask]
            if not bool(torch.isfinite(counted).all()):
                return f"target {part} of student layer {layer}"
    return ""


def format_row_ids(ids: list[str]) -> str:
    """The ids of a batch's first rows, and how many more there are."""
    more = f" and {len(ids) - MAX_ROW_IDS} more, all in the log" if len(ids) > MAX_ROW_IDS else ""
    return f"rows {', '.join(ids[:MAX_ROW_IDS])}{more}"
