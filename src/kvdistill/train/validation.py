"""Validation on fixed texts in the middle of training; draws no random number, leaves no trace."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedModel

from kvdistill.fusion.routing import Routing
from kvdistill.train.curves import by_layer, by_teacher
from kvdistill.train.module import Distiller
from kvdistill.train.step import cross_entropy, exact
from kvdistill.types import Batch

KV_TERMS = {"kv": "kv", "keys": "k", "values": "v", "entropy": "entropy", "penalty": "penalty"}
"""Fields of Terms -> what the curves call them."""

Score = Callable[[PreTrainedModel], Mapping[str, Mapping[str, float]]]
"""Task metrics of a student, which is left as it was: split (val, train) -> metric -> value."""


@dataclass
class Validation:
    """The texts, and what is made of them."""

    batches: Sequence[Batch]
    score: Score | None = None
    every: int = 0
    """Validations between task metrics; 0 for none."""

    def tasks(
        self, module: Distiller, number: int, last: bool
    ) -> Mapping[str, Mapping[str, float]]:
        """Task metrics of each split where they are due; those at the end always are.

        `number` counts validations, 0 being before the first step.
        """
        due = self.every > 0 and (last or number % self.every == 0)
        return self.score(module.whole()) if due and self.score is not None else {}

    @torch.no_grad()
    def __call__(
        self, module: Distiller, device: torch.device | str
    ) -> tuple[dict[str, Any], Routing | None]:
        """(CE a token; KV terms and answers that greedy decoding would write a sample, fusion)."""
        sums: dict[str, Any] = {}
        layers = torch.zeros(())
        samples = sum(len(batch.ids) for batch in self.batches)
        routing = module.rooms.routing() if module.rooms else None
        for kept in self.batches:
            batch = kept.to(device)
            scores, terms = module.read(batch)
            share = len(batch.ids) / samples
            ce = cross_entropy(scores, batch.student)
            found = {"ce": float(ce), "tokens": float(batch.student.predicted.sum())}
            hits = exact(scores, batch.student)
            found["exact_match"] = share * float(hits.float().mean())
            if terms is not None and routing is not None:
                for name, short in KV_TERMS.items():
                    found[short] = share * float(getattr(terms, name).mean())
                for teacher, weight in zip(
                    routing.teachers, by_teacher(terms.weights), strict=True
                ):
                    found[f"weight_{teacher}"] = share * float(weight)
                routing.add_batch(terms.weights, batch.tasks)
                layers = layers + torch.stack((terms.keys, terms.values), dim=1).cpu() * share
            for name, value in found.items():
                sums[name] = sums.get(name, 0.0) + value
        sums["ce"] /= sums.pop("tokens")
        if module.rooms is not None:
            sums["layers"] = by_layer(module.rooms, layers)
        return {"loss": loss(module, sums)} | sums, routing


def loss(module: Distiller, found: dict[str, Any]) -> float:
    """The training loss on these terms; takes out the fusion's penalty, which has no line."""
    weights, total = module.weights, module.weights.ce * found["ce"]
    if module.rooms is not None:
        factor = float(module.rooms.balance.factor)
        total += weights.kv * factor * found["kv"] - weights.entropy * found["entropy"]
        total += found.pop("penalty")
    return float(total)
