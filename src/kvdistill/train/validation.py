"""Validation on fixed texts during training. It draws no random number and changes no weight."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

import torch
from transformers import PreTrainedModel

from kvdistill import distributed
from kvdistill.data.sampler import deal_to_rank
from kvdistill.fusion.routing import Routing
from kvdistill.loss.nmse import TargetNMSE, average_texts
from kvdistill.models.attention.implementation import use_plain_attention
from kvdistill.status import enter_phase
from kvdistill.train.curves import (
    average_weights,
    compute_layer_terms,
    describe_logit_terms,
)
from kvdistill.train.module import Distiller
from kvdistill.train.preemption_callback import end_if_preempted
from kvdistill.train.step import (
    Terms,
    compute_exact_match,
    sum_cross_entropy,
    sum_cross_entropy_by_text,
    sum_tokens_by_text,
)
from kvdistill.types import Batch, move_to_device

KV_TERMS = {"kv": "kv", "keys": "k", "values": "v", "entropy": "entropy", "penalty": "penalty"}
"""Fields of Terms -> their names in the curves."""

ScoreTasks = Callable[[PreTrainedModel], Mapping[str, Mapping[str, float]]]
"""Scores a student, and leaves it as it was: split (val, train) -> metric -> value."""


@dataclass
class TextLosses:
    """What each validation text says of a student, in the order of the batches.

    The texts are a sample as the seeds are, so a claim about a validation loss needs their spread.
    """

    ids: list[str] = field(default_factory=list)
    ce: list[float] = field(default_factory=list)
    """Cross-entropy summed over the text's answer tokens, in nats."""
    tokens: list[int] = field(default_factory=list)
    """Its answer tokens that are predicted."""
    logits: list[float] = field(default_factory=list)
    """Distance of next-token distributions summed over them, in nats; empty where none is."""
    nmse: Mapping[str, list[float | None]] = field(default_factory=dict)
    """kv_nmse, k_nmse and v_nmse; None where no teacher covers a token of the text."""

    def extend(self, other: "TextLosses") -> None:
        """Adds other texts behind these."""
        self.ids += other.ids
        self.ce += other.ce
        self.tokens += other.tokens
        self.logits += other.logits

    def to_json(self) -> dict[str, list[Any]]:
        """Columns by name, a value a text."""
        logits = {"logits": self.logits} if self.logits else {}
        return {"ids": self.ids, "ce": self.ce, "tokens": self.tokens, **logits, **self.nmse}


@dataclass
class BatchReading:
    """What one batch says of a student, on the CPU: ranks exchange it."""

    numbers: dict[str, float]
    """Cross-entropy and distances of distributions (nats), with their teachers' weights, over
    tokens; texts that are exactly right, and texts that have an answer: sums."""
    texts: TextLosses
    tasks: list[str]
    nmse: TargetNMSE
    terms: Terms | None


@dataclass
class Validation:
    """The validation texts in batches, and the tasks that are scored along with them."""

    batches: Sequence[Batch]
    score: ScoreTasks | None = None
    score_every: int = 0
    """Validations between task metrics; 0 for none."""

    def score_tasks(
        self, module: Distiller, number: int, last: bool
    ) -> Mapping[str, Mapping[str, float]]:
        """Task metrics of each split; empty where they are not due. At the end they always are.

        `number` counts validations, 0 being before the first step.
        """
        due = self.score_every > 0 and (last or number % self.score_every == 0)
        if not due or self.score is None:
            return {}
        # In float32, which flash kernels do not take.
        with use_plain_attention(module.student):
            return self.score(module.unwrap_student())

    @torch.no_grad()
    def __call__(
        self,
        module: Distiller,
        device: torch.device | str,
        autocast: Callable[[], AbstractContextManager[Any]] = nullcontext,
    ) -> tuple[dict[str, Any], Routing | None, TextLosses]:
        """(the numbers of a validation line, the fusion's weights by task or None, each text's).

        CE and what begins with `logits` are means over answer tokens, the KV terms over texts,
        `exact_match` over those that have an answer token (`unanswered` counts the others, where
        there are any), `layers` has the terms of each layer. The terms have the scale that is
        trained on;
        `kv_nmse` has the fused target's own, on which other sets of teachers compare.

        Every rank must call this and reads its share of the batches, in the training's `autocast`;
        all get the same numbers, which are those of one rank that reads all. Raises Preempted
        before a batch, on all of them, where any was asked to make room.
        """
        dealt = deal_to_rank(self.batches)
        batches = module.prefetch_each(batch for batch, _ in dealt)
        readings = []
        with enter_phase("validation") as progress:
            for number, (batch, (_, counts)) in enumerate(zip(batches, dealt, strict=True), 1):
                end_if_preempted()
                # One that does not count is read too: models may be divided among the ranks.
                with autocast():
                    reading = read_batch(module, batch.to(device))
                readings += [reading] if counts else []
                progress(number, len(dealt))
        by_rank = distributed.gather_objects(readings)
        # As the batches stand: the n-th of every rank, then the next.
        rounds = zip_longest(*by_rank)
        return combine_readings(module, [each for one in rounds for each in one if each])


def read_batch(module: Distiller, batch: Batch) -> BatchReading:
    """Reads one batch with the student and its teachers, on the device where it lies."""
    nmse = TargetNMSE({"keys": module.weights.keys, "values": module.weights.values})
    logits, terms, distributions = module.compute_terms(batch, nmse.add)
    mask = batch.student.label_mask
    losses = sum_cross_entropy_by_text(logits, batch.student).tolist()
    texts = TextLosses(list(batch.ids), losses, mask.sum(dim=1).tolist())
    numbers = {
        # Summed, and divided by all answer tokens below: a mean over tokens, not over texts.
        "ce": float(sum_cross_entropy(logits, batch.student)),
        # Teacher-forced, yet exact: where all predictions are right, decoding reads the same.
        "exact_match": float(compute_exact_match(logits, batch.student).sum()),
        "answered": float(mask.any(dim=1).sum()),
    }
    if distributions is not None:
        texts.logits = sum_tokens_by_text(distributions.tokens, batch.student).tolist()
        more = describe_logit_terms(distributions, 1.0, list(batch.teachers))
        numbers |= {name: float(value) for name, value in more.items()}
    terms = None if terms is None else move_to_device(terms, "cpu")
    return BatchReading(numbers, texts, list(batch.tasks), nmse, terms)


def combine_readings(
    module: Distiller, readings: Sequence[BatchReading]
) -> tuple[dict[str, Any], Routing | None, TextLosses]:
    """What `Validation` returns, of all batches."""
    sums: dict[str, Any] = {}
    layers = torch.zeros(())
    samples = sum(len(each.texts.ids) for each in readings)
    routing = module.objective.make_routing() if module.objective else None
    texts, nmse = TextLosses(), TargetNMSE(readings[0].nmse.weights)
    for reading in readings:
        texts.extend(reading.texts)
        nmse.extend(reading.nmse)
        numbers, terms = dict(reading.numbers), reading.terms
        if terms is not None and routing is not None:
            # The last batches may be smaller: a mean of their means would count their texts more.
            share = len(reading.texts.ids) / samples
            for name, short in KV_TERMS.items():
                numbers[short] = share * float(getattr(terms, name).mean())
            weights = average_weights(terms.weights)
            for teacher, weight in zip(routing.teachers, weights, strict=True):
                numbers[f"weight_{teacher}"] = share * float(weight)
            routing.add_batch(terms.weights, reading.tasks)
            layers = layers + torch.stack((terms.keys, terms.values), dim=1) * share
        for name, value in numbers.items():
            sums[name] = sums.get(name, 0.0) + value
    # Means over the same tokens.
    for name in [name for name in sums if name == "ce" or name.startswith("logits")]:
        sums[name] /= sum(texts.tokens)
    answered = sums.pop("answered")
    sums["exact_match"] /= answered
    if answered < samples:
        sums["unanswered"] = samples - answered
    texts.nmse = nmse.compute_by_text()
    sums |= {name: average_texts(values) for name, values in texts.nmse.items()}
    if module.objective is not None:
        sums["layers"] = compute_layer_terms(module.objective, layers, module.current_weights.kv)
    return {"loss": compute_validation_loss(module, sums)} | sums, routing, texts


def compute_validation_loss(module: Distiller, numbers: dict[str, Any]) -> float:
    """The training loss on these terms, with the balance's present factor.

    Takes `penalty` out of `numbers`: the curves have no name for it.
    """
    weights = module.current_weights
    total = weights.ce * numbers["ce"] + weights.logits * numbers.get("logits", 0.0)
    if module.objective is not None:
        factor = float(module.objective.balance.factor)
        total += weights.kv * factor * numbers["kv"] - weights.entropy * numbers["entropy"]
        total += numbers.pop("penalty")
    return float(total)
