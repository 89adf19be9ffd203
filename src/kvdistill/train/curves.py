"""curves.jsonl: what a run tells of itself while it trains."""

import json
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

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
        self.tokens = 0
        """Real tokens read by the student, padding left out."""

    def add(
        self, loss: Tensor, ce: Tensor, terms: Terms | None, batch: Batch, micro_batches: int
    ) -> None:
        """Counts a micro-batch in; `loss` and `ce` are already its share of the step."""
        found = {"loss": loss, "ce": ce}
        if terms is not None:
            means = {"kv": terms.kv, "k": terms.keys, "v": terms.values, "entropy": terms.entropy}
            found |= {name: value.mean() / micro_batches for name, value in means.items()}
        for name, value in found.items():
            self.sums[name] = self.sums.get(name, torch.zeros(())) + value.detach().cpu()
        self.steps += 1 / micro_batches
        self.sequences += len(batch.ids)
        self.tokens += int(batch.student.mask.sum())

    def write_train(self, step: int, extra: dict[str, float]) -> None:
        """One line: the means since the last one."""
        means = {name: float(value) / self.steps for name, value in self.sums.items()}
        self.write({"step": step, "split": "train", **means, **extra})
        self.sums, self.steps = {}, 0.0

    def write_val(self, step: int, found: dict[str, float]) -> None:
        """One line of validation terms."""
        names = {"keys": "k", "values": "v"}
        self.write({"step": step, "split": "val", **{names.get(k, k): v for k, v in found.items()}})

    def write(self, line: dict[str, Any]) -> None:
        finite = {
            k: v if not isinstance(v, float) or math.isfinite(v) else None for k, v in line.items()
        }
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(finite, allow_nan=False) + "\n")
