"""The study's three stages in one run: each fusion in turn, for its share of the steps."""

from collections.abc import Callable, Mapping, Sequence

from jaxtyping import Float
from torch import Tensor, nn

from kvdistill.errors import ConfigError
from kvdistill.fusion.base import Fusion, Weights
from kvdistill.fusion.competence import Competence
from kvdistill.geometry import Geometry
from kvdistill.types import KV


class Staged(Fusion):
    """Applies one stage after another; `shares` of the steps are in order and sum to 1."""

    def __init__(
        self,
        *,
        student: Geometry,
        teachers: Sequence[str],
        layers: Sequence[int],
        stages: Mapping[str, Callable[..., Fusion]],
        shares: Mapping[str, float],
    ) -> None:
        super().__init__(student=student, teachers=teachers, layers=layers)
        if set(shares) != set(stages):
            raise ConfigError(
                f"fusion.shares names {', '.join(shares)}, but the stages are {', '.join(stages)}. "
                f"Give each stage its share of the steps."
            )
        if min(shares.values()) < 0 or abs(sum(shares.values()) - 1) > 1e-6:
            raise ConfigError(
                f"fusion.shares={dict(shares)} must not be negative and must sum to 1, not "
                f"{sum(shares.values()):g}."
            )
        self.shares, self._first = dict(shares), layers[0]
        fusions = {
            name: build(student=student, teachers=teachers, layers=layers)
            for name, build in stages.items()
        }
        self.stages = nn.ModuleDict(fusions)
        # Asked for in every step, since which stage applies is known in the step alone.
        self.reads_competence = any(stage.reads_competence for stage in fusions.values())
        self.reads_tasks = any(stage.reads_tasks for stage in fusions.values())
        # One optimiser group holds all stages, so one factor: the largest of those that train.
        trained = [stage.lr_scale for stage in fusions.values() if stage.trains]
        self.trains, self.lr_scale = bool(trained), max(trained, default=1.0)

    def find_stage(self, progress: float) -> Fusion:
        """The fusion that applies after this share of the steps."""
        # Stages of no share never apply; the last of the others also takes a progress of 1.
        names, end = [name for name, share in self.shares.items() if share > 0], 0.0
        for name in names[:-1]:
            end += self.shares[name]
            if progress < end:
                return self.stages[name]  # type: ignore[return-value]
        return self.stages[names[-1]]  # type: ignore[return-value]

    def compute_logits(
        self, own: KV, targets: Sequence[KV], layer: int, progress: float
    ) -> Weights:
        return self.compute_batch_logits(own, targets, layer, progress, None, ())

    def compute_batch_logits(
        self,
        own: KV,
        targets: Sequence[KV],
        layer: int,
        progress: float,
        competence: Competence | None,
        tasks: Sequence[str],
    ) -> Weights:
        stage = self.find_stage(progress)
        logits = stage.compute_batch_logits(own, targets, layer, progress, competence, tasks)
        # Once a step is enough, so at the first layer alone.
        return logits + self._touch_every_weight(logits) if layer == self._first else logits

    def set_task_scores(self, scores: Mapping[str, Sequence[float]]) -> None:
        for stage in self.stages.values():
            stage.set_task_scores(scores)  # type: ignore[operator]

    def compute_penalty(self, weights: Weights, progress: float) -> Float[Tensor, " batch"]:
        return self.find_stage(progress).compute_penalty(weights, progress)

    def _touch_every_weight(self, like: Tensor) -> Tensor:
        # DDP waits once a step for a gradient of every weight, also of stages that do not apply.
        return 0.0 * sum((p.sum() for p in self.parameters()), start=like.new_zeros(()))
