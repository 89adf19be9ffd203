"""The one module that is trained: the student and the strategies that hold weights.

Its forward runs the step, so that DDP and checkpoints see projections and routers. Teachers are
not registered in it; what is exported is the student alone.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedModel

from kvdistill.kv.base import TeacherKV, TeacherReading
from kvdistill.logits.objective import LogitObjective, LogitTerms
from kvdistill.models.attention.sources import locate_any_sources
from kvdistill.models.capture import Capture, list_trained_parameters
from kvdistill.models.head import LMHead
from kvdistill.train.answers.logit_terms import compute_logit_terms
from kvdistill.train.kernels.linear_ce import LinearCE
from kvdistill.train.objective import KVObjective, LossWeights
from kvdistill.train.speed.step_clock import StepClock
from kvdistill.train.step import (
    Observer,
    Terms,
    compute_kv_terms,
    iterate_layer_targets,
    sum_cross_entropy,
)
from kvdistill.types import KV, Batch, Tokens


class StepTerms(NamedTuple):
    """What the loss of a micro-batch is made of, unweighted."""

    ce: Tensor
    """Cross-entropy summed over answer tokens, in nats."""
    kv: Terms | None
    logits: LogitTerms | None


class Distiller(nn.Module):
    """A student with its KV objective; without one it is plain fine-tuning on the same path."""

    def __init__(
        self,
        student: nn.Module,
        objective: KVObjective | None,
        teachers: Mapping[str, TeacherKV],
        weights: LossWeights,
        clock: StepClock | None = None,
        linear_ce: LinearCE | None = None,
        logits: LogitObjective | None = None,
    ) -> None:
        """`student` is a causal LM of transformers, or PEFT's wrapper of one.

        `objective` is None where no K and V are matched, `logits` where no distributions are.
        `clock` is the one that the teachers' requests have. `linear_ce` computes the cross-entropy
        in training; None: from the logits. Raises ConfigError where it cannot: the model does more
        to its logits than its output layer.
        """
        super().__init__()
        self.clock = clock or StepClock()
        self.student: Any = student
        self._head = LMHead(student)
        self._linear_ce = linear_ce
        if linear_ce is not None:
            self._head.check_bare()
        # Checkpoints hold its tensors under this name.
        self.rooms = objective
        self.weights = weights
        self.logits = logits
        """What compares next-token distributions; holds no trained weight."""
        # A plain mapping: registered teachers would be wrapped by DDP and stand in checkpoints.
        self._teachers = teachers
        self.progress = 0.0
        """Share of the steps that is done; the trainer moves it."""
        if objective is not None:
            pipeline = objective.first_branch.pipeline
            self._capture = Capture(student, objective.layers)
            self._capture.check_trained()
            self._rotaries = pipeline.read_student_rotaries(self._capture, objective.layers)

    @property
    def current_weights(self) -> LossWeights:
        """The terms' weights at the present share of the steps."""
        return self.weights.scale_terms(self.progress)

    @property
    def objective(self) -> KVObjective | None:
        """The strategies between the models and the KV loss."""
        return self.rooms

    def forward(self, batch: Batch, own: Batch | None = None) -> StepTerms:
        """The terms of the loss; with `own` texts, cross-entropy of the batch and theirs of those.

        All in one call, as DDP wants it.
        """
        if own is not None:
            return StepTerms(self._compute_cross_entropy(batch), *self._compare_own(own))
        if self._linear_ce is None:
            logits, kv, distributions = self.compute_terms(batch)
            return StepTerms(sum_cross_entropy(logits, batch.student), kv, distributions)
        hidden, kv, readings = self._run_student(batch, self._head.compute_hidden)
        ce = self._linear_ce(self._head.layer, hidden, batch.student.labels)
        layer = self._head.layer
        return StepTerms(ce, kv, self._compare_answers(batch, hidden, layer, readings, kv))

    def _compute_cross_entropy(self, batch: Batch) -> Tensor:
        """Summed over answer tokens; no teacher is read."""
        tokens = batch.student
        if self._linear_ce is None:
            return sum_cross_entropy(self._head(tokens, tokens.logit_mask), tokens)
        hidden = self._head.compute_hidden(tokens, tokens.logit_mask)
        return self._linear_ce(self._head.layer, hidden, tokens.labels)

    def _compare_own(self, own: Batch) -> tuple[Terms | None, LogitTerms | None]:
        """The terms of own texts, whose answers are no labels."""
        if self.logits is not None:
            return self.compute_terms(own)[1:]

        def read_no_token(tokens: Tokens, _: Tensor) -> Tensor:
            return self._head(tokens, torch.zeros_like(tokens.mask))

        return self._run_student(own, read_no_token)[1], None

    def compute_logits(
        self, batch: Batch, observe: Observer | None = None
    ) -> tuple[Float[Tensor, "predicted vocab"], Terms | None]:
        """The logits of the predicted answer tokens, text after text, and the KV terms.

        `observe` is shown what the KV terms compare, layer by layer.
        """
        logits, kv, _ = self._run_student(batch, self._head, observe)
        return logits, kv

    def compute_terms(
        self, batch: Batch, observe: Observer | None = None
    ) -> tuple[Float[Tensor, "predicted vocab"], Terms | None, LogitTerms | None]:
        """As `compute_logits`, and the terms of next-token distributions."""
        logits, kv, readings = self._run_student(batch, self._head, observe)
        return logits, kv, self._compare_answers(batch, logits, None, readings, kv)

    def _compare_answers(
        self,
        batch: Batch,
        predicted: Tensor,
        head: nn.Module | None,
        readings: Mapping[str, TeacherReading],
        kv: Terms | None,
    ) -> LogitTerms | None:
        if self.logits is None:
            return None
        with self.clock.time_part("rooms"):
            weights = None if kv is None else kv.weights
            return compute_logit_terms(self.logits, batch, predicted, head, readings, weights)

    def _run_student(
        self,
        batch: Batch,
        read: Callable[[Tokens, Tensor], Tensor],
        observe: Observer | None = None,
    ) -> tuple[Tensor, Terms | None, dict[str, TeacherReading]]:
        """(what `read` gives of the predicted tokens, the KV terms, what the teachers gave)."""
        tokens = batch.student
        if self.objective is None:
            predicted = read(tokens, tokens.logit_mask)
            return predicted, None, self.read_teachers(batch)
        with self._capture:
            predicted = read(tokens, tokens.logit_mask)
        captured = self.clock.time_rooms_backward(self._capture.pop_layers(tokens))
        with self.clock.time_part("rooms"):
            readings = self.read_teachers(batch)
            terms = compute_kv_terms(
                captured, readings, self.objective, batch, self._rotaries, self.progress, observe
            )
        self.clock.begin_rooms_at(terms.kv)
        return predicted, terms, readings

    def read_teachers(self, batch: Batch) -> dict[str, TeacherReading]:
        """What each teacher makes of the batch, each in one forward."""
        return {
            name: teacher.read_texts(batch.teachers[name].tokens, batch.ids)
            for name, teacher in self._teachers.items()
        }

    def prefetch_teachers(self, batch: Batch) -> Batch:
        """Announces a batch of the CPU that will be computed, and returns it."""
        for name, teacher in self._teachers.items():
            teacher.prefetch(batch.teachers[name].tokens, batch.ids)
        return batch

    def prefetch_each(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """The batches in order, each announced while the one before it is computed."""
        announced = map(self.prefetch_teachers, batches)
        current = next(announced, None)
        while current is not None:
            following = next(announced, None)
            yield current
            current = following

    def close_teachers(self) -> None:
        """Ends what reads ahead; no batch is computed afterwards."""
        for teacher in self._teachers.values():
            teacher.close()

    def iterate_targets(self, batch: Batch) -> Iterator[tuple[int, KV, KV]]:
        """(layer, the student's K and V, their fused target), for measuring: without logits."""
        assert self.objective is not None
        tokens = batch.student
        # No token is chosen, so the output layer has nothing to do.
        with self._capture:
            self._head(tokens, torch.zeros_like(tokens.mask))
        captured = self._capture.pop_layers(tokens)
        layers = iterate_layer_targets(
            captured, self.read_teachers(batch), self.objective, batch, self._rotaries,
            self.progress,
        )  # fmt: skip
        for layer, student_kv, target, _ in layers:
            yield layer, student_kv, target

    def unwrap_student(self) -> PreTrainedModel:
        """The student as transformers knows it, with PEFT's adapters inside its modules."""
        student: PreTrainedModel = getattr(self.student, "get_base_model", lambda: self.student)()
        return student

    def enable_gradient_checkpointing(self) -> None:
        """Recomputes the student's blocks in the backward pass."""
        # Reentrant checkpointing would lose the gradient of captured K and V.
        self.student.gradient_checkpointing_enable({"use_reentrant": False})

    def list_kv_parameters(self) -> list[nn.Parameter]:
        """Trained weights that make the compared layers' K and V, on which both losses pull.

        Of all layers where there is no objective; none where a model has no K and V of its own.
        """
        if self.objective is not None:
            return self._capture.list_kv_parameters()
        return self._own_kv_parameters

    @cached_property
    def _own_kv_parameters(self) -> list[nn.Parameter]:
        # Fine-tuning alone captures nothing, so a model that cannot be captured is not refused.
        return list_trained_parameters(locate_any_sources(self.student).values())

    def make_param_groups(self, lr: float, weight_decay: float) -> list[dict[str, object]]:
        """The optimiser's param groups: the student's matrices decay, its vectors do not.

        Strategies do not decay, and scale `lr`.
        """
        parameters = [p for p in self.student.parameters() if p.requires_grad]
        groups: list[dict[str, object]] = [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]
        # A group each, so that the schedule scales every strategy's own rate.
        for strategy in self.objective.list_trainable() if self.objective else []:
            params = [p for p in strategy.parameters() if p.requires_grad]
            groups.append({"params": params, "weight_decay": 0.0, "lr": lr * strategy.lr_scale})
        return groups


def count_parameters(module: nn.Module) -> int:
    """Number of parameters, shared ones once."""
    return sum(p.numel() for p in module.parameters())


def count_trained_parameters(module: nn.Module) -> int:
    """Of these, those that get a gradient: the student's, its adapter's and the rooms' own."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)
