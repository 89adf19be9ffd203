"""What the student reproduces of its target, on rows that nothing was trained on.

The same student is also held against the target of another text: what it explains there is
position and common structure, not what the teachers know of this text.
"""

from collections.abc import Iterable
from typing import Any

import torch

from kvdistill.kv.moments import RunningR2
from kvdistill.kv.shuffle_pairs import choose_partners
from kvdistill.train.module import Distiller
from kvdistill.types import KV, Batch

PARTS = ("keys", "values")


@torch.no_grad()
def held_out(module: Distiller, batches: Iterable[Batch]) -> dict[str, Any]:
    """R^2 of keys and values in each layer, and their means; None where no token was covered."""
    device = next(module.parameters()).device
    training = module.training
    module.eval()
    true: dict[tuple[int, str], RunningR2] = {}
    shuffled: dict[tuple[int, str], RunningR2] = {}
    for batch in batches:
        others, paired = choose_partners(batch.ids)
        for layer, own, target in module.pairs(batch.to(device)):
            add(true, layer, own, target)
            mask = target.mask[others] & paired[:, None].to(device)
            add(shuffled, layer, own, KV(target.keys[others], target.values[others], mask))
    module.train(training)
    return {
        "held_out_r2": mean(true),
        "shuffled_r2": mean(shuffled),
        "layers": {
            str(layer): {part[0]: r2(true[layer, part]) for part in PARTS}
            for layer in dict.fromkeys(layer for layer, _ in true)
        },
    }


def add(found: dict[tuple[int, str], RunningR2], layer: int, own: KV, target: KV) -> None:
    """Counts the tokens that both have in, for keys and for values."""
    mask = own.mask & target.mask
    for part in PARTS:
        agreement = found.setdefault((layer, part), RunningR2())
        agreement.add(getattr(own, part), getattr(target, part), mask)


def r2(agreement: RunningR2) -> float | None:
    """None for fewer than two tokens."""
    return agreement.r2 if agreement.count > 1 else None


def mean(found: dict[tuple[int, str], RunningR2]) -> float | None:
    """Over layers, keys and values."""
    scores = [score for each in found.values() if (score := r2(each)) is not None]
    return sum(scores) / len(scores) if scores else None
