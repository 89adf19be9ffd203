"""The bound on the gradient's norm, in the units of the loss that an arm trains."""

from typing import Any


def scale_clip_norm(max_grad_norm: float, loss: Any) -> float:
    """`train.max_grad_norm` times the weight that cross-entropy has in the loss (`loss` group).

    AdamW takes the same step whatever a loss is multiplied by, so `ce_weight x CE` trains as plain
    CE does, but for what is clipped: at a weight w, gradients are w times those of plain SFT, and
    so must the bound be. Every arm is then clipped as `CE + (kv_weight / ce_weight) x KV` would be
    at `max_grad_norm`: SFT as any SFT trainer does it, and the KV arms within the same bound, so
    that no arm gets longer steps than another by its weights. A loss without cross-entropy has the
    KV term as its unit.
    """
    unit = loss["ce_weight"] if loss["ce_weight"] > 0 else loss["kv_weight"]
    return float(max_grad_norm * unit)
