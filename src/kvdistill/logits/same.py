"""One tokenizer for all: distributions are compared token by token.

Models pad their output layers to other sizes (Qwen2.5-1.5B 151,936, 7B 152,064): what lies beyond
the tokenizer's own tokens is cropped.
"""

from collections.abc import Iterator, Mapping
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from kvdistill.errors import ConfigError, UserError
from kvdistill.logits.answer_logits import AnswerLogits, TeacherLogits
from kvdistill.logits.base import LogitDistance
from kvdistill.logits.teacher_mix import TeacherWeights
from kvdistill.logits.vocabulary import Part, TokenTable, Vocabulary
from kvdistill.plan.resources.run_memory import PART_LOGITS

EXCLUDED = -1e4
"""Log-probability of a token that the teachers exclude: it is 0 as a float32."""


class Same(Vocabulary):
    """Refuses teachers of another tokenizer."""

    shared: ClassVar[bool] = True

    def __init__(self, *, student: TokenTable, teachers: Mapping[str, TokenTable]) -> None:
        for name, other in teachers.items():
            if not has_same_tokens(student, other):
                sizes = " and ".join(str(len(each.token_bytes)) for each in (other, student))
                raise ConfigError(
                    f"logits/vocabulary=same, but teachers.{name} has another tokenizer than the "
                    f"student ({sizes} tokens). Use logits/vocabulary=chunks, or teachers of the "
                    f"student's family."
                )
        self.size = len(_strip_padding(student))

    def find_covered(
        self, student: AnswerLogits, teacher: TeacherLogits
    ) -> Bool[Tensor, " predicted"]:
        """All of them, unless the two have cut a text otherwise."""
        if student.labels.shape != teacher.labels.shape:
            raise UserError(
                f"logits/vocabulary=same, but a teacher cuts the same answers into "
                f"{len(teacher.labels)} tokens and the student into {len(student.labels)}: they "
                f"have the same tokens and split texts otherwise. Use logits/vocabulary=chunks."
            )
        covered = student.labels == teacher.labels
        return covered if teacher.given is None else covered & teacher.given

    def iterate_parts(
        self,
        distance: LogitDistance,
        student: AnswerLogits,
        teachers: Mapping[str, TeacherLogits],
        weights: TeacherWeights,
    ) -> Iterator[Part]:
        step = max(1, PART_LOGITS // self.size)
        for start in range(0, len(student.labels), step):
            rows = slice(start, start + step)
            target = self.mix_teachers(distance.temperature, teachers, weights, rows)
            taught = weights[:, rows].sum(dim=0) > 0

            def compare(
                logits: Float[Tensor, "some vocab"],
                target: Tensor = target,
                taught: Tensor = taught,
            ) -> Float[Tensor, " some"]:
                apart = distance.measure_tokens(logits[:, : target.shape[1]], target)
                return apart.masked_fill(~taught, 0)

            yield Part(rows, compare)

    @torch.no_grad()
    def mix_teachers(
        self,
        temperature: float,
        teachers: Mapping[str, TeacherLogits],
        weights: TeacherWeights,
        rows: slice,
    ) -> Float[Tensor, "some vocab"]:
        """The log of the mixture, log sum_i w_i softmax(z_i / T), at some tokens; float32."""
        parts = []
        for teacher, weight in zip(teachers.values(), weights[:, rows], strict=True):
            logits = teacher.score_rows(teacher.hidden[rows])[:, : self.size].float()
            log_probs = torch.log_softmax(logits / temperature, dim=-1)
            parts.append(log_probs if len(teachers) == 1 else log_probs + weight.log()[:, None])
        mixed = parts[0] if len(parts) == 1 else torch.stack(parts).logsumexp(dim=0)
        # Finite where every teacher excludes a token: 0 times infinity would be NaN.
        return mixed.clamp_(min=EXCLUDED)


def has_same_tokens(student: TokenTable, teacher: TokenTable) -> bool:
    """Whether every id stands for the same bytes in both, padding at the end aside."""
    return _strip_padding(student) == _strip_padding(teacher)


def _strip_padding(table: TokenTable) -> list[bytes | None]:
    """The tokens' bytes less the ids at the end that stand for nothing."""
    tokens = table.token_bytes
    last = next((i for i in range(len(tokens) - 1, -1, -1) if tokens[i] is not None), -1)
    return list(tokens[: last + 1])
