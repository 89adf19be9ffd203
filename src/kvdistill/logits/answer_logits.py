"""A model's next-token logits where they predict answer tokens, made a few tokens at a time.

Of a vocabulary of 150,000 the logits of a thousand tokens are 600 MB in float32, a hidden state is
a few KB: so a model hands over its hidden states and its output layer.
"""

from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from kvdistill.types import TeacherInputs, Tokens

Model = TypeVar("Model", bound="AnswerLogits")
CE_ROWS = 256
"""Tokens whose logits are there at once where cross-entropy is measured."""


@dataclass(frozen=True)
class AnswerLogits:
    """One model's, of all texts of a batch, text after text."""

    hidden: Float[Tensor, "predicted width"]
    """What the output layer is given at `Tokens.logit_mask`; the logits where there is no layer."""
    head: nn.Module | None
    """The output layer; None: `hidden` are the logits themselves."""
    labels: Int[Tensor, " predicted"]
    """The token that each predicts, in the model's own vocabulary."""
    texts: Int[Tensor, " predicted"]
    """Row of the batch that each belongs to, ascending."""
    batch: int
    """Number of texts."""

    @classmethod
    def from_tokens(
        cls: type[Model], tokens: Tokens, hidden: Tensor, head: nn.Module | None
    ) -> Model:
        """Of a batch as the model reads it, with what it computed at the logit mask."""
        return cls(
            hidden=hidden,
            head=head,
            labels=tokens.labels,
            texts=tokens.label_texts,
            batch=len(tokens.ids),
        )

    def score_rows(self, hidden: Float[Tensor, "some width"]) -> Float[Tensor, "some vocab"]:
        """The logits of these hidden states."""
        return hidden if self.head is None else self.head(hidden)

    @torch.no_grad()
    def measure_ce(self) -> Float[Tensor, " predicted"]:
        """Cross-entropy of each label in nats, without gradient; float32."""
        parts = [
            F.cross_entropy(self.score_rows(hidden).float(), labels, reduction="none")
            for hidden, labels in zip(
                self.hidden.split(CE_ROWS), self.labels.split(CE_ROWS), strict=True
            )
        ]
        return torch.cat(parts)

    def sum_over_texts(self, x: Float[Tensor, " predicted"]) -> Float[Tensor, " batch"]:
        """Sums of what each predicted token has, text by text."""
        return x.new_zeros(self.batch).index_add_(0, self.texts, x)


@dataclass(frozen=True)
class TeacherLogits(AnswerLogits):
    """A teacher's, at its own answer tokens, and which of the student's they lie under."""

    chunk: Int[Tensor, " predicted"] | None = None
    """Number of the chunk (types.py: Chunks) that each predicted token lies in; None where chunks
    were not collated."""
    student_chunk: Int[Tensor, " student_predicted"] | None = None
    """The same of the student's predicted tokens, by the same numbers."""
    given: Bool[Tensor, " predicted"] | None = None
    """Where a control gives a state at all, whose chunks are then left out already; None: all."""

    @classmethod
    def from_reading(
        cls, reading: TeacherInputs, student: Tokens, hidden: Tensor, head: nn.Module | None
    ) -> "TeacherLogits":
        """Of a batch as the teacher reads it, with the chunks that were collated, if any were."""
        own = cls.from_tokens(reading.tokens, hidden, head)
        if reading.chunks is None:
            return own
        return replace(
            own,
            chunk=reading.chunks.teacher.flatten()[reading.tokens.label_places],
            student_chunk=reading.chunks.student.flatten()[student.label_places],
        )
