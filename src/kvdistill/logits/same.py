"""One tokenizer for all: distributions are compared token by token.

Models pad their output layers to other sizes (Qwen2.5-1.5B 151,936, 7B 152,064): what lies beyond
the tokenizer's own tokens is cropped.
"""

from collections.abc import Iterable, Iterator, Mapping
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
CACHE_LOGITS = 2**19
"""Logits of one model that are compared at once on a CPU: 2 MiB in float32, which its cache holds.
A dozen operations pass over them, whose time is that of memory where they are more."""


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
        for rows, scored in self.score_teachers(student, teachers):
            target = self.mix_teachers(distance, scored, weights[:, rows])
            taught = weights[:, rows].sum(dim=0) > 0

            def compare(
                logits: Float[Tensor, "some vocab"],
                target: Tensor = target,
                taught: Tensor = taught,
            ) -> Float[Tensor, " some"]:
                apart = distance.measure_tokens(logits[:, : target.shape[1]], target)
                return apart.masked_fill(~taught, 0)

            yield Part(rows, compare)

    def score_teachers(
        self, student: AnswerLogits, teachers: Mapping[str, TeacherLogits]
    ) -> Iterator[tuple[slice, Iterable[Float[Tensor, "some vocab"]]]]:
        """(some of the student's tokens, each teacher's logits there), until all have come."""
        count = len(student.labels)
        part = max(1, PART_LOGITS // self.size)
        # Of these the student's own output layer makes logits: products of a few rows are slow.
        whole = student.head is not None or student.hidden.device.type != "cpu"
        block = part if whole else min(part, max(1, CACHE_LOGITS // self.size))
        for start in range(0, count, part):
            rows = slice(start, min(start + part, count))
            # One after the other as they are read, where they are read once.
            scored: Iterable[Tensor] = (
                each.score_rows(each.hidden[rows])[:, : self.size] for each in teachers.values()
            )
            if block == part:
                yield rows, scored
                continue
            with torch.no_grad():
                scored = list(scored)
            for first in range(0, rows.stop - start, block):
                stop = min(first + block, rows.stop - start)
                yield slice(start + first, start + stop), [each[first:stop] for each in scored]

    @torch.no_grad()
    def mix_teachers(
        self,
        distance: LogitDistance,
        scored: Iterable[Float[Tensor, "some vocab"]],
        weights: Float[Tensor, "teachers some"],
    ) -> Float[Tensor, "some vocab"]:
        """The log of the mixture, log sum_i w_i softmax(z_i / T), at some tokens; float32."""
        softened = map(distance.soften, scored)
        if len(weights) == 1:
            mixed = next(softened)
        else:
            weighted = torch.empty(*weights.shape, self.size, device=weights.device)
            for each, weight in zip(weighted, weights, strict=True):
                # Without a name for the next one's, which would be kept beside the one after it.
                torch.add(next(softened), weight.log()[:, None], out=each)
            mixed = logsumexp_in_place(weighted)
        # Finite where every teacher excludes a token: 0 times infinity would be NaN.
        return mixed.clamp_(min=EXCLUDED)


def logsumexp_in_place(x: Float[Tensor, "parts some vocab"]) -> Float[Tensor, "some vocab"]:
    """`x.logsumexp(dim=0)` to the bit, written over `x`: PyTorch's own holds it once more."""
    top = x.amax(dim=0)
    top.masked_fill_(top.isinf(), 0)
    return x.sub_(top).exp_().sum(dim=0).log_().add_(top)


def has_same_tokens(student: TokenTable, teacher: TokenTable) -> bool:
    """Whether every id stands for the same bytes in both, padding at the end aside."""
    return _strip_padding(student) == _strip_padding(teacher)


def _strip_padding(table: TokenTable) -> list[bytes | None]:
    """The tokens' bytes less the ids at the end that stand for nothing."""
    tokens = table.token_bytes
    last = next((i for i in range(len(tokens) - 1, -1, -1) if tokens[i] is not None), -1)
    return list(tokens[: last + 1])
