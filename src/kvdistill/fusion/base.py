"""How much each teacher counts at each student token."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from kvdistill.fusion.competence import Competence
from kvdistill.geometry import Geometry
from kvdistill.types import KV

Weights = Float[Tensor, "teachers batch seq"]


class Fusion(nn.Module, ABC):
    """Weighs the teachers' targets of one layer, renormalised over those valid at a token."""

    reads_competence: bool = False
    """Whether `compute_logits` takes a `competence`, by keyword."""
    reads_tasks: bool = False
    """Whether `compute_logits` takes `tasks`, those of the batch's texts, by keyword, and
    `set_task_scores` is called before the first step."""
    trains: bool = False
    """Whether it has weights that get gradients in training."""
    lr_scale: float = 1.0
    """Factor on the learning rate for its weights."""

    @abstractmethod
    def __init__(
        self, *, student: Geometry, teachers: Sequence[str], layers: Sequence[int]
    ) -> None:
        """`teachers` by name, in the targets' order; `layers` are the distilled student layers."""
        super().__init__()

    @abstractmethod
    def compute_logits(
        self, own: KV, targets: Sequence[KV], layer: int, progress: float
    ) -> Weights:
        """Log-weights up to a constant; `own` is detached and centred, `progress` is in [0, 1].

        Minus infinity excludes a teacher: a token that only such teachers cover is masked.
        """

    def forward(
        self,
        own: KV,
        targets: Sequence[KV],
        layer: int,
        progress: float,
        competence: Competence | None = None,
        tasks: Sequence[str] = (),
    ) -> tuple[KV, Weights]:
        """The fused target and the weights; a token that no teacher covers is masked, weights 0.

        `competence` is there where this fusion reads it; `tasks` are those of the texts.
        """
        logits = self.compute_batch_logits(own, targets, layer, progress, competence, tasks)
        # Minus infinity alone excludes: a NaN must reach the loss, not pass for an uncovered token.
        valid = torch.stack([target.mask for target in targets]) & own.mask & ~logits.isneginf()
        weights = normalise_over_valid(logits, valid)
        return fuse_targets(targets, weights, valid), weights

    def compute_batch_logits(
        self,
        own: KV,
        targets: Sequence[KV],
        layer: int,
        progress: float,
        competence: Competence | None,
        tasks: Sequence[str],
    ) -> Weights:
        """`compute_logits` with what this fusion reads of a batch beside K and V, and no more."""
        more: dict[str, Any] = {"competence": competence} if self.reads_competence else {}
        more |= {"tasks": tasks} if self.reads_tasks else {}
        return self.compute_logits(own, targets, layer, progress, **more)

    def set_task_scores(self, scores: Mapping[str, Sequence[float]]) -> None:
        """Takes each task's scores of the teachers; called where `reads_tasks`.

        They are of its validation answers, in nats a student token; higher is better.
        """

    def compute_penalty(self, weights: Weights, progress: float) -> Float[Tensor, " batch"]:
        """What this fusion adds to each sample's loss in one layer, already weighted; 0 here."""
        return weights.new_zeros(weights.shape[1])


def normalise_over_valid(logits: Weights, valid: Bool[Tensor, "teachers batch seq"]) -> Weights:
    """Softmax over the valid teachers of each token, in float32; zero where none is."""
    # A token with no valid teacher would be NaN: give it finite logits, then zero its weights.
    allowed = logits.float().masked_fill(~valid, -torch.inf).masked_fill(~valid.any(dim=0), 0.0)
    return allowed.softmax(dim=0) * valid


def fuse_targets(
    targets: Sequence[KV], weights: Weights, valid: Bool[Tensor, "teachers batch seq"]
) -> KV:
    """Weighted sum of the targets; what lies under a teacher's mask does not reach it.

    Where heads hold tokens of their own the weights are renormalised over those that hold each.
    """
    held = [m[:, None] & target.held for target, m in zip(targets, valid, strict=True)]
    shares = [w[:, None] for w in weights]
    head_mask = None
    if any(target.head_mask is not None for target in targets):
        shares = [share * m for share, m in zip(shares, held, strict=True)]
        total = torch.stack(shares).sum(dim=0).clamp(min=torch.finfo(torch.float32).tiny)
        shares = [share / total for share in shares]
        head_mask = torch.stack(held).any(dim=0)
    # Filled, not only weighted with 0: 0 x NaN is NaN.
    keys, values = (
        reduce(
            torch.add,
            (
                share[..., None].to(x.dtype) * x.masked_fill(~m[..., None], 0)
                for share, x, m in zip(shares, part, held, strict=True)
            ),
        )
        for part in ([t.keys for t in targets], [t.values for t in targets])
    )
    return KV(keys, values, valid.any(dim=0), head_mask)


def compute_entropy(weights: Weights, mask: Bool[Tensor, "batch seq"]) -> Float[Tensor, " batch"]:
    """H(w) = -sum_t w_t log w_t in nats, a mean over each sample's tokens; 0 for one with none.

    In [0, log teachers]. Subtracted from the loss it rewards equal weights, added it sharpens them.
    A weight of exactly 0 adds nothing, and no NaN to the gradient.
    """
    # Filled before the logarithm: its gradient at 0 is infinite, and 0 times that is NaN.
    surprise = -weights.masked_fill(weights <= 0, 1).log()
    return _average_over_tokens((weights * surprise).sum(dim=0), mask)


def compute_imbalance(weights: Weights, mask: Bool[Tensor, "batch seq"]) -> Float[Tensor, " batch"]:
    """How unequally teachers are used: T sum_t mean_t^2 - 1, of each sample's mean weights.

    0 where all T teachers count equally over a sample or it has no token, T - 1 where one has all
    the weight. Per sample and not per batch, so that it does not change with accumulation.
    """
    means = torch.stack([_average_over_tokens(w, mask) for w in weights])
    return (len(weights) * means.square().sum(dim=0) - 1) * mask.any(dim=1)


def _average_over_tokens(
    x: Float[Tensor, "batch seq"], mask: Bool[Tensor, "batch seq"]
) -> Float[Tensor, " batch"]:
    # At least 1: a sample with no token has a mean of 0, not NaN.
    return x.masked_fill(~mask, 0).sum(dim=1) / mask.sum(dim=1).clamp(min=1)
