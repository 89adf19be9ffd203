"""Second moments of aligned teacher and student vectors: all that a closed-form fit needs.

Sums are kept in float64: keys of Qwen2 carry a constant hundreds of times their standard deviation,
and a covariance is the small difference that is left when it is subtracted.
"""

from dataclasses import dataclass, fields

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from kvdistill.distributed import all_reduce_sum
from kvdistill.errors import UserError


@dataclass
class Moments:
    """Running sums over tokens of teacher rows x and student rows y, in float64."""

    count: Float[Tensor, ""]
    x: Float[Tensor, " teacher_width"]
    y: Float[Tensor, " student_width"]
    xx: Float[Tensor, "teacher_width teacher_width"]
    xy: Float[Tensor, "teacher_width student_width"]
    yy: Float[Tensor, "student_width student_width"]

    @classmethod
    def empty(
        cls, teacher_width: int, student_width: int, device: torch.device | str = "cpu"
    ) -> "Moments":
        """Moments of no token yet; the sums live on `device`."""

        def zeros(*shape: int) -> Tensor:
            return torch.zeros(shape, dtype=torch.float64, device=device)

        t, s = teacher_width, student_width
        return cls(zeros(), zeros(t), zeros(s), zeros(t, t), zeros(t, s), zeros(s, s))

    def add(
        self, x: Float[Tensor, "tokens teacher_width"], y: Float[Tensor, "tokens student_width"]
    ) -> None:
        """Adds the sums of these tokens."""
        x, y = (part.detach().to(self.x) for part in (x, y))
        self.count += len(x)
        self.x += x.sum(dim=0)
        self.y += y.sum(dim=0)
        self.xx += x.T @ x
        self.xy += x.T @ y
        self.yy += y.T @ y

    def to(self, device: torch.device | str) -> "Moments":
        """The same sums on a device."""
        return Moments(*(getattr(self, each.name).to(device) for each in fields(self)))

    def sum_over_ranks(self) -> "Moments":
        """What all ranks have summed, each of which must call this."""
        return Moments(*(all_reduce_sum(getattr(self, each.name)) for each in fields(self)))

    @property
    def cov_xx(self) -> Float[Tensor, "teacher_width teacher_width"]:
        """Covariance of the teacher's rows."""
        return self.xx / self.count - torch.outer(self.x, self.x) / self.count**2

    @property
    def cov_xy(self) -> Float[Tensor, "teacher_width student_width"]:
        """Cross-covariance, teacher by student."""
        return self.xy / self.count - torch.outer(self.x, self.y) / self.count**2

    @property
    def cov_yy(self) -> Float[Tensor, "student_width student_width"]:
        """Covariance of the student's rows."""
        return self.yy / self.count - torch.outer(self.y, self.y) / self.count**2

    @property
    def reverse(self) -> "Moments":
        """The same tokens with teacher and student exchanged, to fit the student to its teacher."""
        return Moments(self.count, self.y, self.x, self.yy, self.xy.T, self.xx)

    def project_teacher(self, weight: Float[Tensor, "teacher_width target_width"]) -> "Moments":
        """The moments of `x @ weight` and y: those of a target and the student."""
        w = weight.detach().to(self.xx)
        return Moments(self.count, self.x @ w, self.y, w.T @ self.xx @ w, w.T @ self.xy, self.yy)

    def shift_teacher(self, by: Float[Tensor, " teacher_width"]) -> "Moments":
        """The moments of `x + by` and y."""
        shift = by.detach().to(self.x)
        cross = torch.outer(self.x, shift)
        xx = self.xx + cross + cross.T + self.count * torch.outer(shift, shift)
        xy = self.xy + torch.outer(shift, self.y)
        return Moments(self.count, self.x + self.count * shift, self.y, xx, xy, self.yy)

    def fit_ridge(self, penalty: float) -> Float[Tensor, "teacher_width student_width"]:
        """The map that minimises E|y - x W|^2 + penalty * v * |W|^2, both sides centred.

        v is the mean variance of x, so that `penalty` has no unit. Raises UserError where the
        teacher's rows do not vary: no map can be fitted to them.
        """
        cov = self.cov_xx
        variance = cov.diagonal().mean()
        # Not `<= 0`: without any token the variance is NaN.
        if not variance > 0:
            raise UserError(
                f"A projection cannot be fitted on {int(self.count)} calibration tokens that do "
                f"not vary. Use more calibration rows, or an alignment that covers more tokens."
            )
        # The penalty also makes it positive definite where there are fewer tokens than columns.
        cov = cov + penalty * variance * torch.eye(len(cov)).to(cov)
        return torch.cholesky_solve(self.cov_xy, torch.linalg.cholesky(cov))

    def r2_score(self, weight: Float[Tensor, "teacher_width student_width"]) -> float:
        """Share of the student's variance that `x @ weight` explains, both centred on these tokens.

        1 - E|y - x W|^2 / E|y|^2; negative when the map is worse than the mean.
        """
        w = weight.detach().to(self.xx)
        total = self.cov_yy.trace()
        residual = total - 2 * (w * self.cov_xy).sum() + (w * (self.cov_xx @ w)).sum()
        return float(1 - residual / total)


@dataclass
class RunningR2:
    """R^2 of a student's K or V against its target, summed up batch by batch.

    1 - E|own - target|^2 / E|target - mean target|^2: 1 where the student reproduces the target,
    0 where it only knows the target's mean. Unlike a cosine it cannot be bought by a constant.
    """

    counts: Float[Tensor, " heads"] | None = None
    """Tokens that each head held."""
    residual_squares: float = 0.0
    target_squares: float = 0.0
    target_sum: Float[Tensor, "heads dim"] | None = None

    def add(
        self,
        own: Float[Tensor, "batch heads seq dim"],
        target: Float[Tensor, "batch heads seq dim"],
        held: Bool[Tensor, "batch some_heads seq"],
    ) -> None:
        """Adds the tokens that each head holds, as `KV.held` has them."""
        # Filled before any arithmetic: what is not held may be NaN.
        own, target = (
            part.detach().double().masked_fill(~held[..., None], 0) for part in (own, target)
        )
        self.residual_squares += float((own - target).square().sum())
        self.target_squares += float(target.square().sum())
        counts = held.expand(target.shape[:3]).sum(dim=(0, 2)).double().cpu()
        total = target.sum(dim=(0, 2)).cpu()
        self.counts = counts if self.counts is None else self.counts + counts
        self.target_sum = total if self.target_sum is None else self.target_sum + total

    @property
    def count(self) -> float:
        """Tokens of the head that holds most."""
        return 0.0 if self.counts is None else float(self.counts.max())

    @property
    def r2(self) -> float:
        """At most 1; negative when the student is further from the target than the mean is."""
        if self.target_sum is None or self.counts is None or self.count < 2:
            raise ValueError("R^2 needs at least two tokens.")
        squares = self.target_sum.square().sum(dim=1) / self.counts.clamp(min=1)
        variance = self.target_squares - float(squares.sum())
        return 1 - self.residual_squares / variance
