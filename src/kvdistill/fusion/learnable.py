"""A router for each layer reads the student's own K and V and learns which teacher to follow.

It starts uniform. Trained by the KV loss alone a router picks the teacher that is easiest to
imitate, not the best: hence the entropy term of the loss, and here, both off by default, a
load-balance penalty and teacher dropout.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from kvdistill.errors import ConfigError
from kvdistill.fusion.base import Fusion, Weights, compute_imbalance
from kvdistill.geometry import Geometry
from kvdistill.types import KV

_ROUTERS = ("mlp", "linear")
_DROPPED_OFFSET = 1e4
"""Subtracted from a dropped teacher's logit. Finite: it still counts where it is alone valid."""


class Learnable(Fusion):
    """Softmax of a router over each token's keys and values, detached from the student."""

    trains = True

    def __init__(
        self,
        *,
        student: Geometry,
        teachers: Sequence[str],
        layers: Sequence[int],
        router: str,
        hidden: int,
        lr_scale: float,
        balance_weight: float,
        teacher_dropout: float,
    ) -> None:
        super().__init__(student=student, teachers=teachers, layers=layers)
        if router not in _ROUTERS:
            raise ConfigError(f"fusion.router={router} must be one of: {', '.join(_ROUTERS)}.")
        if hidden < 1:
            raise ConfigError(f"fusion.hidden must be at least 1, got {hidden}.")
        if not 0 <= teacher_dropout < 1:
            raise ConfigError(f"fusion.teacher_dropout must be in [0, 1), got {teacher_dropout}.")
        if not lr_scale > 0:
            raise ConfigError(
                f"fusion.lr_scale must be above 0, got {lr_scale}. Use fusion=fixed for no router."
            )
        if not balance_weight >= 0:
            raise ConfigError(f"fusion.balance_weight must be 0 or more, got {balance_weight}.")
        self.lr_scale, self.balance_weight = lr_scale, balance_weight
        self.teacher_dropout = teacher_dropout
        self.routers = nn.ModuleDict(
            {
                str(layer): build_router(router, 2 * student.kv_width, hidden, len(teachers))
                for layer in layers
            }
        )

    def compute_logits(
        self, own: KV, targets: Sequence[KV], layer: int, progress: float
    ) -> Weights:
        inputs = _build_router_inputs(own)
        logits = self.routers[str(layer)](inputs).float().permute(2, 0, 1)
        if not (self.training and self.teacher_dropout):
            return logits
        teachers, batch, _ = logits.shape
        # Drawn once a sample and layer: a teacher is dropped from a whole text, not from tokens.
        dropped = torch.rand(teachers, batch, 1, device=logits.device) < self.teacher_dropout
        return logits - _DROPPED_OFFSET * dropped

    def compute_penalty(self, weights: Weights, progress: float) -> Float[Tensor, " batch"]:
        return self.balance_weight * compute_imbalance(weights, weights.sum(dim=0) > 0)


def _build_router_inputs(own: KV) -> Float[Tensor, "batch seq width"]:
    """Keys and values of a token side by side, each normalised over its width as by LayerNorm."""
    # Detached, or the student could learn to steer its router; normalised apart, so that neither
    # keys nor values outweigh the other.
    parts = (
        part.detach().masked_fill(~own.mask[:, None, :, None], 0).transpose(1, 2).flatten(2).float()
        for part in (own.keys, own.values)
    )
    return torch.cat([nn.functional.layer_norm(part, part.shape[2:]) for part in parts], dim=2)


def build_router(router: str, width: int, hidden: int, teachers: int) -> nn.Module:
    """One layer's router, "linear" or "mlp": `width` inputs, one logit a teacher."""
    # Zeros make the first weights uniform; an MLP's first layer is random, so it still learns.
    last = nn.Linear(width if router == "linear" else hidden, teachers)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    if router == "linear":
        return last
    return nn.Sequential(nn.Linear(width, hidden), nn.SiLU(), last)
