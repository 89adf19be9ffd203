"""A sum over tokens of distances that are made a few tokens at a time, with its gradient.

The gradient of a part is taken right after the part, as Liger's kernels do (Hsu et al., arXiv
2410.10989), and kept as that of the hidden states and of the output layer: nothing of a
vocabulary's width outlives its part, and nothing is computed twice.
"""

from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from kvdistill.logits.answer_logits import AnswerLogits
from kvdistill.logits.vocabulary import Part

Sums = tuple[Float[Tensor, ""], Float[Tensor, " predicted"]]
"""(the sum, with its gradient; what each token adds to it, without)."""


def sum_parts(
    student: AnswerLogits, parts: Iterable[Part], weights: Float[Tensor, " predicted"] | None
) -> Sums:
    """Sum of the parts' distances, each token's times its weight (1 where None)."""
    if weights is None:
        weights = torch.ones(student.labels.shape, device=student.hidden.device)
    trained = [] if student.head is None else list(student.head.parameters())
    trained = [each for each in trained if each.requires_grad]
    if torch.is_grad_enabled() and (student.hidden.requires_grad or trained):
        total, tokens = _SumWithGradient.apply(student, parts, weights, student.hidden, *trained)
        return total, tokens
    tokens = student.hidden.new_zeros(student.labels.shape, dtype=torch.float32)
    for part in parts:
        tokens[part.rows] = compare_rows(student, part, student.hidden[part.rows])
    tokens *= weights
    return tokens.sum(), tokens


def compare_rows(
    student: AnswerLogits, part: Part, hidden: Float[Tensor, "some width"]
) -> Float[Tensor, " some"]:
    """The distances of a part's tokens, in float32 whatever precision the models compute in."""
    logits = student.score_rows(hidden)
    # Autocast would multiply probabilities in half precision.
    with torch.autocast(logits.device.type, enabled=False):
        return part.compare(logits)


class _SumWithGradient(torch.autograd.Function):
    """Its backward scales the gradients that its forward has made."""

    @staticmethod
    def forward(
        ctx: Any,
        student: AnswerLogits,
        parts: Iterable[Part],
        weights: Tensor,
        hidden: Tensor,
        *trained: Tensor,
    ) -> tuple[Tensor, Tensor]:
        tokens = hidden.new_zeros(student.labels.shape, dtype=torch.float32)
        of_hidden = torch.zeros_like(hidden)
        of_trained: list[Tensor | None] = [None] * len(trained)
        for part in parts:
            rows = hidden[part.rows].detach().requires_grad_()
            with torch.enable_grad():
                distances = compare_rows(student, part, rows) * weights[part.rows]
                gradients = torch.autograd.grad(
                    distances.sum(), [rows, *trained], allow_unused=True
                )
            tokens[part.rows] = distances.detach()
            if len(rows) == len(hidden):
                of_hidden = gradients[0]  # all in one: nothing to gather
            else:
                of_hidden[part.rows] = gradients[0]
            for at, gradient in enumerate(gradients[1:]):
                # A part's own, added in place: never three of the layer's size at once.
                before = of_trained[at]
                if before is None or gradient is None:
                    of_trained[at] = gradient if before is None else before
                else:
                    before.add_(gradient)
        ctx.save_for_backward(of_hidden, *of_trained)
        ctx.mark_non_differentiable(tokens)
        return tokens.sum(), tokens

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        kept = ctx.saved_tensors
        scaled = [None if each is None else each * upstream[0].to(each.dtype) for each in kept]
        return (None, None, None, *scaled)
