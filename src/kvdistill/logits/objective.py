"""The distance of a student's next-token distributions to its teachers', as a term of the loss."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from kvdistill.config.build import build_node
from kvdistill.errors import ConfigError
from kvdistill.logits.answer_logits import AnswerLogits, TeacherLogits
from kvdistill.logits.base import LogitDistance
from kvdistill.logits.sum_parts import sum_parts
from kvdistill.logits.teacher_mix import TeacherMix, TeacherWeights
from kvdistill.logits.vocabulary import TokenTable, Vocabulary


@dataclass(frozen=True)
class LogitTerms:
    """The term of a batch."""

    total: Float[Tensor, ""]
    """Sum of `tokens`, with its gradient; not weighted. Over the step's answer tokens it is a mean,
    as cross-entropy is."""
    tokens: Float[Tensor, " predicted"]
    """Distance at each of the student's predicted tokens, in nats; 0 where no teacher counts."""
    weights: TeacherWeights
    """Of the teachers at each token."""


@dataclass(frozen=True)
class LogitObjective:
    """Built where `logits.weight` is above 0."""

    weight: float
    """Beside those of cross-entropy and KV."""
    distance: LogitDistance
    mix: TeacherMix
    vocabulary: Vocabulary

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any], student: TokenTable, teachers: Mapping[str, TokenTable]
    ) -> "LogitObjective":
        """From the logits group and the vocabularies of student and teachers.

        Raises ConfigError for what a strategy refuses, and for a mixture of distributions over
        several vocabularies.
        """
        node = config["logits"]
        mix: TeacherMix = build_node(
            "logits.teachers", node["teachers"], teachers=list(config["teachers"])
        )
        vocabulary: Vocabulary = build_node(
            "logits.vocabulary", node["vocabulary"], student=student, teachers=teachers
        )
        check_mixture(config, mixes=mix.mixes_probabilities, shared=vocabulary.shared)
        distance = build_node("logits.distance", node["distance"], temperature=node["temperature"])
        return cls(node["weight"], distance, mix, vocabulary)

    def compute_terms(
        self,
        student: AnswerLogits,
        teachers: Mapping[str, TeacherLogits],
        fused: TeacherWeights | None = None,
    ) -> LogitTerms:
        """The term of a batch; `teachers` in the config's order.

        `fused` are the weights that the KV fusion gives the teachers at the student's predicted
        tokens, a mean over layers; None where there is no KV objective.
        """
        covered = torch.stack(
            [self.vocabulary.find_covered(student, each) for each in teachers.values()]
        )
        ce = self.read_teachers_ce(student, teachers) if self.mix.reads_ce else None
        weights = self.mix.weigh_teachers(covered, ce, fused)
        if self.mix.mixes_probabilities:
            parts = self.vocabulary.iterate_parts(self.distance, student, teachers, weights)
            total, tokens = sum_parts(student, parts, None)
            return LogitTerms(total, tokens, weights)
        sums = [
            sum_parts(
                student,
                self.vocabulary.iterate_parts(self.distance, student, {name: each}, mask[None]),
                weight,
            )
            for (name, each), weight, mask in zip(
                teachers.items(), weights, (weights > 0).float(), strict=True
            )
        ]
        totals, tokens_each = zip(*sums, strict=True)
        return LogitTerms(torch.stack(totals).sum(), torch.stack(tokens_each).sum(dim=0), weights)

    @staticmethod
    def read_teachers_ce(
        student: AnswerLogits, teachers: Mapping[str, TeacherLogits]
    ) -> Float[Tensor, "teachers predicted"]:
        """Each teacher's cross-entropy over the answer, in nats, at every token of its text."""
        by_text = [each.sum_over_texts(each.measure_ce()) for each in teachers.values()]
        return torch.stack(by_text)[:, student.texts]


def check_mixture(config: Mapping[str, Any], *, mixes: bool, shared: bool) -> None:
    """Refuses a mixture of distributions over several vocabularies."""
    if not mixes or shared or len(config["teachers"]) < 2:
        return
    choices = config["choices"]
    raise ConfigError(
        f"logits/teachers={choices['logits/teachers']} mixes distributions over one vocabulary, "
        f"but logits/vocabulary={choices['logits/vocabulary']} leaves each teacher its own. Use "
        f"logits/teachers=mean or select."
    )
