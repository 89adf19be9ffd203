"""Balance by gradient norm: the KV term gets the gradient of cross-entropy's size.

Factor = ratio * |grad CE| / |grad KV| over the shared weights, measured every so many steps and
smoothed, so that kv_weight / ce_weight is the ratio of the two gradients. In the spirit of GradNorm
(arXiv 1711.02257), measured rather than learned.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from kvdistill import distributed
from kvdistill.errors import ConfigError
from kvdistill.loss.balance import Balance


class GradientNorm(Balance):
    """One extra backward of each term every `every` steps; `factor` is part of a checkpoint."""

    measured: Tensor

    def __init__(self, *, ratio: float, every: int, momentum: float) -> None:
        super().__init__()
        if not ratio > 0:
            raise ConfigError(
                f"loss.balance.ratio must be above 0, got {ratio}. Use kv_weight=0 for no KV loss."
            )
        if every < 1:
            raise ConfigError(f"loss.balance.every must be at least 1 step, got {every}.")
        if not 0 <= momentum < 1:
            raise ConfigError(f"loss.balance.momentum must be in [0, 1), got {momentum}.")
        self.ratio, self.every, self.momentum = ratio, every, momentum
        self.register_buffer("measured", torch.zeros((), dtype=torch.bool))

    def forward(
        self,
        ce: Float[Tensor, ""],
        kv: Float[Tensor, ""],
        shared: Sequence[nn.Parameter],
        step: int,
    ) -> Float[Tensor, ""]:
        if step % self.every == 0:
            # Averaged, so that every rank weighs its loss by the same factor.
            ce_norm, kv_norm = distributed.all_reduce_mean(
                torch.stack([measure_gradient_norm(ce, shared), measure_gradient_norm(kv, shared)])
            )
            # A batch that no teacher covers has no KV gradient: there is no ratio to measure.
            if kv_norm > 0:
                now = self.ratio * ce_norm / kv_norm
                # The first measurement replaces the initial 1 altogether.
                momentum = self.momentum if self.measured else 0.0
                self.factor.copy_(momentum * self.factor + (1 - momentum) * now)
                self.measured.fill_(True)
        return self.factor.clone()


def measure_gradient_norm(
    loss: Float[Tensor, ""], weights: Sequence[nn.Parameter]
) -> Float[Tensor, ""]:
    """Euclidean norm of the loss's gradient; leaves the graph and every `.grad` as they were."""
    # autograd.grad adds to no .grad and calls no hook of DDP's, unlike backward.
    gradients = torch.autograd.grad(loss, list(weights), retain_graph=True, allow_unused=True)
    squares = [g.float().square().sum() for g in gradients if g is not None]
    return sum(squares, start=loss.new_zeros((), dtype=torch.float32)).sqrt()
