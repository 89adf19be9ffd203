"""The bound on the gradient's norm, in the units of the loss that an arm trains."""

from typing import Any


def scale_clip_norm(max_grad_norm: float, loss: Any, logits_weight: float = 0.0) -> float:
    """`train.max_grad_norm` times the weight that cross-entropy has in the loss (`loss` group).

    AdamW takes the same step whatever a loss is multiplied by, so `ce_weight x CE` trains as plain
    CE does, but for what is clipped: at a weight w, gradients are w times those of plain SFT, and
    so must the bound be. Every arm is then clipped as `CE + (kv_weight / ce_weight) x KV` would be
    at `max_grad_norm`: SFT as any SFT trainer does it, and the KV arms within the same bound, so
    that no arm gets longer steps than another by its weights. A loss without cross-entropy has the
    distance of next-token distributions as its unit (`logits.weight`), and without either the KV
    term.
    """
    weights = (loss["ce_weight"], logits_weight, loss["kv_weight"])
    unit = next((weight for weight in weights if weight > 0), 0.0)
    return float(max_grad_norm * unit)
