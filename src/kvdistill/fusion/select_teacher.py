"""The teacher that predicts a text's answer best is its only one.

NeMo RL's `select_teacher`, there on logits: the lowest cross-entropy of the text.
"""

from collections.abc import Sequence

import torch

from kvdistill.fusion.base import Fusion, Weights
from kvdistill.fusion.competence import Competence
from kvdistill.fusion.measures import check_measure, score_texts
from kvdistill.geometry import Geometry
from kvdistill.types import KV


class SelectTeacher(Fusion):
    """All weight to one teacher a text, the first of equals; tokens it does not cover are masked.

    Where no teacher says anything of a text all count alike.
    """

    reads_competence = True

    def __init__(
        self, *, student: Geometry, teachers: Sequence[str], layers: Sequence[int], competence: str
    ) -> None:
        super().__init__(student=student, teachers=teachers, layers=layers)
        self.competence = check_measure(competence)

    @torch.no_grad()
    def compute_logits(
        self,
        own: KV,
        targets: Sequence[KV],
        layer: int,
        progress: float,
        competence: Competence | None = None,
    ) -> Weights:
        assert competence is not None
        known = competence.answer_tokens > 0
        scores = score_texts(competence, self.competence)
        # Not those that stand in for a teacher that says nothing.
        scores = scores.masked_fill(~known, -torch.inf)
        best = scores == scores.max(dim=0).values
        first = best & (best.cumsum(dim=0) == 1)
        logits = torch.zeros_like(scores).masked_fill(known.any(dim=0) & ~first, -torch.inf)
        return logits[..., None].expand(-1, *own.mask.shape)
