"""curves.jsonl: what a run tells of itself while it trains."""

import json
import math
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from kvdistill import world
from kvdistill.train.rooms import Rooms
from kvdistill.train.step import Terms
from kvdistill.types import Batch


class Curves:
    """Sums the terms of the steps since the last line, on their device, and writes the mean."""

    def __init__(self, folder: Path) -> None:
        """Appends to folder/curves.jsonl."""
        self.path = folder / "curves.jsonl"
        self.sums: dict[str, Tensor] = {}
        self.steps = 0.0
        self.sequences = 0
        """Read by this rank."""
        self.tokens = 0
        """Real tokens that this rank's student read, padding left out."""

    def add(
        self,
        loss: Tensor,
        ce: Tensor,
        pull: Tensor,
        terms: Terms | None,
        batch: Batch,
        micro_batches: int,
    ) -> None:
        """Counts a micro-batch in; `loss`, `ce` and `pull` are already its share of the step.

        `pull` is what the distance of K and V adds to the loss: logged as kv_weighted.
        """
        found = {"loss": loss, "ce": ce}
        if terms is not None:
            means = {"kv": terms.kv, "k": terms.keys, "v": terms.values, "entropy": terms.entropy}
            found |= {name: value.mean() / micro_batches for name, value in means.items()}
            found["kv_weighted"] = pull
        for name, value in found.items():
            self.sums[name] = self.sums.get(name, torch.zeros(())) + value.detach().cpu()
        self.steps += 1 / micro_batches
        self.sequences += len(batch.ids)
        self.tokens += int(batch.student.mask.sum())

    def write_train(self, step: int, extra: dict[str, float]) -> None:
        """One line: the means since the last one, over ranks; all of them must call this."""
        sums = world.mean(torch.stack(list(self.sums.values())))
        means = {name: float(x) / self.steps for name, x in zip(self.sums, sums, strict=True)}
        self.write({"step": step, "split": "train", **means, **extra})
        self.sums, self.steps = {}, 0.0

    def write_val(self, step: int, found: dict[str, Any]) -> None:
        """One line of validation terms; those of each layer are nested under `layers`."""
        names = {"keys": "k", "values": "v"}
        self.write({"step": step, "split": "val", **{names.get(k, k): v for k, v in found.items()}})

    def write(self, line: dict[str, Any]) -> None:
        """Adds a line; rank 0 alone has a file."""
        if not world.leads():
            return
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(finite(line), allow_nan=False) + "\n")


def finite(value: Any) -> Any:
    """The value with null for every number that JSON cannot write."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    return value if not isinstance(value, float) or math.isfinite(value) else None


def by_layer(rooms: Rooms, parts: Float[Tensor, "layers 2"]) -> dict[str, dict[str, float]]:
    """Layer -> its distances of keys and of values, and what they add to the loss."""
    number = rooms.weights
    share = torch.tensor([number.keys, number.values]) / (number.keys + number.values)
    pull = (parts * share).sum(dim=1) * number.kv * rooms.balance.factor.cpu() / len(rooms.layers)
    return {
        str(layer): {"k": float(k), "v": float(v), "kv_weighted": float(kv)}
        for layer, (k, v), kv in zip(rooms.layers, parts, pull, strict=True)
    }
