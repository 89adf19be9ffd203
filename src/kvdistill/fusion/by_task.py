"""The better a teacher predicts a task's validation answers, the more it counts on that task.

w = softmax_t(s_t / temperature), s from the validation part of the split, measured once before the
first step: a teacher is weighed by what it knows of a kind of question, not by one text's chance.
"""

from collections.abc import Mapping, Sequence

import torch

from kvdistill.fusion.base import Fusion, Weights
from kvdistill.fusion.measures import check_measure, check_temperature
from kvdistill.geometry import Geometry
from kvdistill.types import KV


class ByTask(Fusion):
    """One weight a task and teacher, the same at every token and layer."""

    reads_tasks = True

    def __init__(
        self,
        *,
        student: Geometry,
        teachers: Sequence[str],
        layers: Sequence[int],
        task_competence: str,
        temperature: float,
    ) -> None:
        super().__init__(student=student, teachers=teachers, layers=layers)
        self.task_competence = check_measure(task_competence, "task_competence")
        self.temperature = check_temperature(temperature)
        # No buffers: measured anew wherever a run starts or goes on, since teachers are frozen.
        self.scores: dict[str, Sequence[float]] = {}

    def set_task_scores(self, scores: Mapping[str, Sequence[float]]) -> None:
        self.scores = dict(scores)

    def compute_logits(
        self,
        own: KV,
        targets: Sequence[KV],
        layer: int,
        progress: float,
        tasks: Sequence[str] = (),
    ) -> Weights:
        scores = torch.tensor([self.scores[task] for task in tasks], device=own.mask.device)
        logits = scores.T[..., None] / self.temperature
        return logits.expand(-1, *own.mask.shape)
