"""Validation on fixed texts during training. It draws no random number and changes no weight."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from kvdistill.fusion.routing import Routing
from kvdistill.loss.nmse import TargetNMSE, average_texts
from kvdistill.train.curves import average_weights, compute_layer_terms
from kvdistill.train.module import Distiller
from kvdistill.train.step import (
    compute_exact_match,
    sum_cross_entropy,
    sum_cross_entropy_by_text,
)
from kvdistill.types import Batch

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
    nmse: Mapping[str, list[float | None]] = field(default_factory=dict)
    """kv_nmse, k_nmse and v_nmse; None where no teacher covers a token of the text."""

    def add_batch(self, batch: Batch, ce: Tensor) -> None:
        """Adds a batch with the summed cross-entropy of each of its texts."""
        self.ids += batch.ids
        self.ce += ce.tolist()
        self.tokens += batch.student.label_mask.sum(dim=1).tolist()

    def to_json(self) -> dict[str, list[Any]]:
        """Columns by name, a value a text."""
        return {"ids": self.ids, "ce": self.ce, "tokens": self.tokens, **self.nmse}


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
        return self.score(module.unwrap_student())

    @torch.no_grad()
    def __call__(
        self, module: Distiller, device: torch.device | str
    ) -> tuple[dict[str, Any], Routing | None, TextLosses]:
        """(the numbers of a validation line, the fusion's weights by task or None, each text's).

        CE is a mean over answer tokens, the KV terms are means over texts, `exact_match` over those
        that have an answer token (`unanswered` counts the others, where there are any), `layers`
        has the terms of each layer. The terms have the scale that is trained on;
        `kv_nmse` has the fused target's own, on which other sets of teachers compare.
        """
        sums: dict[str, Any] = {}
        layers = torch.zeros(())
        samples = sum(len(batch.ids) for batch in self.batches)
        routing = module.objective.make_routing() if module.objective else None
        kv_weights = {"keys": module.weights.keys, "values": module.weights.values}
        texts, nmse = TextLosses(), TargetNMSE(kv_weights)
        for cpu_batch in module.prefetch_each(self.batches):
            batch = cpu_batch.to(device)
            logits, terms = module.compute_logits(batch, nmse.add)
            texts.add_batch(batch, sum_cross_entropy_by_text(logits, batch.student))
            # The last batches may be smaller: a mean of their means would count their texts more.
            share = len(batch.ids) / samples
            # Summed, and divided by all answer tokens below: a mean over tokens, not over texts.
            ce = sum_cross_entropy(logits, batch.student)
            numbers = {"ce": float(ce), "tokens": float(batch.student.label_mask.sum())}
            # Teacher-forced, yet exact: where all predictions are right, decoding reads the same.
            hits = compute_exact_match(logits, batch.student)
            numbers["exact_match"] = float(hits.sum())
            numbers["answered"] = float(batch.student.label_mask.any(dim=1).sum())
            if terms is not None and routing is not None:
                for name, short in KV_TERMS.items():
                    numbers[short] = share * float(getattr(terms, name).mean())
                weights = average_weights(terms.weights)
                for teacher, weight in zip(routing.teachers, weights, strict=True):
                    numbers[f"weight_{teacher}"] = share * float(weight)
                routing.add_batch(terms.weights, batch.tasks)
                layers = layers + torch.stack((terms.keys, terms.values), dim=1).cpu() * share
            for name, value in numbers.items():
                sums[name] = sums.get(name, 0.0) + value
        sums["ce"] /= sums.pop("tokens")
        answered = sums.pop("answered")
        sums["exact_match"] /= answered
        if answered < samples:
            sums["unanswered"] = samples - answered
        texts.nmse = nmse.compute_by_text()
        sums |= {name: average_texts(values) for name, values in texts.nmse.items()}
        if module.objective is not None:
            sums["layers"] = compute_layer_terms(module.objective, layers)
        return {"loss": compute_validation_loss(module, sums)} | sums, routing, texts


def compute_validation_loss(module: Distiller, numbers: dict[str, Any]) -> float:
    """The training loss on these terms, with the balance's present factor.

    Takes `penalty` out of `numbers`: the curves have no name for it.
    """
    weights, total = module.weights, module.weights.ce * numbers["ce"]
    if module.objective is not None:
        factor = float(module.objective.balance.factor)
        total += weights.kv * factor * numbers["kv"] - weights.entropy * numbers["entropy"]
        total += numbers.pop("penalty")
    return float(total)
