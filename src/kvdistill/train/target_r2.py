"""R^2 of the student's K and V as a prediction of their fused target, on validation texts.

The student is also compared with the target of another text: what it explains there is position
and common structure, not what the teachers know of this text.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import torch

from kvdistill.kv.moments import RunningR2
from kvdistill.kv.shuffle_pairs import choose_partners
from kvdistill.models.attention.implementation import use_plain_attention
from kvdistill.train.module import Distiller
from kvdistill.types import KV, Batch

PARTS = ("keys", "values")


@torch.no_grad()
def compute_target_r2(module: Distiller, batches: Iterable[Batch]) -> dict[str, Any]:
    """R^2 of keys and values in each layer, and their means with the own and another text's target.

    None where fewer than two tokens are covered. In float32 whatever the training's autocast, for
    this is about the weights that are kept, and 1 - R^2 may be smaller than bfloat16's rounding;
    `kv_nmse` of the validation is in the training's arithmetic. Once a run, so not divided: every
    rank must call this on all batches, and gets the same.
    """
    # Which flash kernels do not take.
    with use_plain_attention(module.student):
        return _compute_target_r2(module, batches)


def _compute_target_r2(module: Distiller, batches: Iterable[Batch]) -> dict[str, Any]:
    device = next(module.parameters()).device
    training = module.training
    # Dropout in the fusion would draw another target each time.
    module.eval()
    own_text: dict[tuple[int, str], RunningR2] = {}
    other_text: dict[tuple[int, str], RunningR2] = {}
    for batch in module.prefetch_each(batches):
        others, paired = choose_partners(batch.ids)
        for layer, own, target in module.iterate_targets(batch.to(device)):
            add_tokens(own_text, layer, own, target)
            # A text without a partner stands against itself, so it is masked.
            mask = target.mask[others] & paired[:, None].to(device)
            swapped = replace(target.select_texts(others), mask=mask)
            add_tokens(other_text, layer, own, swapped)
    module.train(training)
    return {
        "held_out_r2": average_r2(own_text),
        "shuffled_r2": average_r2(other_text),
        "layers": {
            str(layer): {part[0]: read_r2(own_text[layer, part]) for part in PARTS}
            for layer in dict.fromkeys(layer for layer, _ in own_text)
        },
    }


def add_tokens(sums: dict[tuple[int, str], RunningR2], layer: int, own: KV, target: KV) -> None:
    """Adds the tokens that both have, for keys and for values."""
    held = own.mask[:, None] & target.held
    for part in PARTS:
        running = sums.setdefault((layer, part), RunningR2())
        running.add(getattr(own, part), getattr(target, part), held)


def read_r2(running: RunningR2) -> float | None:
    """The R^2; None for fewer than two tokens, which have no variance."""
    return running.r2 if running.count > 1 else None


def average_r2(sums: dict[tuple[int, str], RunningR2]) -> float | None:
    """Mean R^2 over layers, keys and values; None where there is none."""
    scores = [score for each in sums.values() if (score := read_r2(each)) is not None]
    return sum(scores) / len(scores) if scores else None
