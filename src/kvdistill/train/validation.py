"""Validation on fixed texts in the middle of training; draws no random number, leaves no trace."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedModel

from kvdistill.fusion.routing import Routing
from kvdistill.train.curves import average_weights, compute_layer_terms
from kvdistill.train.module import Distiller
from kvdistill.train.step import compute_exact_match, sum_cross_entropy
from kvdistill.types import Batch

KV_TERMS = {"kv": "kv", "keys": "k", "values": "v", "entropy": "entropy", "penalty": "penalty"}
"""Fields of Terms -> what the curves call them."""

ScoreTasks = Callable[[PreTrainedModel], Mapping[str, Mapping[str, float]]]
"""Task metrics of a student, which is left as it was: split (val, train) -> metric -> value."""


@dataclass
class Validation:
    """The texts, and what is made of them."""

    batches: Sequence[Batch]
    score: ScoreTasks | None = None
    score_every: int = 0
    """Validations between task metrics; 0 for none."""

    def score_tasks(
        self, module: Distiller, number: int, last: bool
    ) -> Mapping[str, Mapping[str, float]]:
        """Task metrics of each split where they are due; those at the end always are.

        `number` counts validations, 0 being before the first step.
        """
        due = self.score_every > 0 and (last or number % self.score_every == 0)
        return self.score(module.unwrap_student()) if due and self.score is not None else {}

    @torch.no_grad()
    def __call__(
        self, module: Distiller, device: torch.device | str
    ) -> tuple[dict[str, Any], Routing | None]:
        """(CE a token; KV terms and answers that greedy decoding would write a sample, fusion)."""
        sums: dict[str, Any] = {}
        layers = torch.zeros(())
        samples = sum(len(batch.ids) for batch in self.batches)
        routing = module.objective.make_routing() if module.objective else None
        for cpu_batch in self.batches:
            batch = cpu_batch.to(device)
            logits, terms = module.compute_logits(batch)
            share = len(batch.ids) / samples
            ce = sum_cross_entropy(logits, batch.student)
            numbers = {"ce": float(ce), "tokens": float(batch.student.label_mask.sum())}
            hits = compute_exact_match(logits, batch.student)
            numbers["exact_match"] = share * float(hits.float().mean())
            if terms is not None and routing is not None:
                for name, short in KV_TERMS.items():
                    numbers[short] = share * float(getattr(terms, name).mean())
                for teacher, weight in zip(
                    routing.teachers, average_weights(terms.weights), strict=True
                ):
                    numbers[f"weight_{teacher}"] = share * float(weight)
                routing.add_batch(terms.weights, batch.tasks)
                layers = layers + torch.stack((terms.keys, terms.values), dim=1).cpu() * share
            for name, value in numbers.items():
                sums[name] = sums.get(name, 0.0) + value
        sums["ce"] /= sums.pop("tokens")
        if module.objective is not None:
            sums["layers"] = compute_layer_terms(module.objective, layers)
        return {"loss": compute_validation_loss(module, sums)} | sums, routing


def compute_validation_loss(module: Distiller, numbers: dict[str, Any]) -> float:
    """The training loss on these terms; takes out the fusion's penalty, which has no line."""
    weights, total = module.weights, module.weights.ce * numbers["ce"]
    if module.objective is not None:
        factor = float(module.objective.balance.factor)
        total += weights.kv * factor * numbers["kv"] - weights.entropy * numbers["entropy"]
        total += numbers.pop("penalty")
    return float(total)
