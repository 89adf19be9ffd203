"""The better a teacher predicts the answer, the more its K and V count.

w = softmax_t(s_t / temperature), s being minus the cross-entropy of the answer's tokens, minus the
entropy of the distributions that predict them, or the logarithm of their largest probability: the
dynamic weights of NeMo RL's X-Token, there on logits. Entropy and largest probability ask whether a
teacher is sure, cross-entropy whether it is right.
"""

from collections.abc import Sequence

import torch

from kvdistill.errors import ConfigError
from kvdistill.fusion.base import Fusion, Weights
from kvdistill.fusion.competence import Competence
from kvdistill.fusion.measures import check_measure, check_temperature, score_texts, score_tokens
from kvdistill.geometry import Geometry
from kvdistill.types import KV

_PER = ("token", "text")


class CompetenceWeighted(Fusion):
    """By token or by text, the same in every layer."""

    reads_competence = True

    def __init__(
        self,
        *,
        student: Geometry,
        teachers: Sequence[str],
        layers: Sequence[int],
        competence: str,
        per: str,
        temperature: float,
    ) -> None:
        super().__init__(student=student, teachers=teachers, layers=layers)
        if per not in _PER:
            raise ConfigError(f"fusion.per={per} must be one of: {', '.join(_PER)}.")
        self.competence, self.per = check_measure(competence), per
        self.temperature = check_temperature(temperature)

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
        if self.per == "token":
            return score_tokens(competence, self.competence) / self.temperature
        scores = score_texts(competence, self.competence) / self.temperature
        return scores[..., None].expand(-1, *own.mask.shape)
