"""curves.jsonl: what a run tells of itself while it trains."""

import json
import resource
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from kvdistill import distributed
from kvdistill.files import read_json, write_json, write_text
from kvdistill.plan.flops import TokenLoad
from kvdistill.train.objective import Rooms
from kvdistill.train.step import Terms
from kvdistill.types import Batch, Tokens

STATE = "curves_{rank}.json"
LINES = "curves.jsonl"


@dataclass(frozen=True)
class Read:
    """What a run has read so far."""

    sequences: int
    loads: Mapping[str, TokenLoad]
    """`student` and each teacher by name."""


class Curves:
    """Sums the terms of the steps since the last line, on their device, and writes the mean.

    Its state is part of a checkpoint, so that a resumed run writes the lines that an uninterrupted
    one writes; only measured seconds differ.
    """

    def __init__(self, folder: Path) -> None:
        """Writes to folder/curves.jsonl, from the beginning until `load` says otherwise."""
        self.path = folder / LINES
        self.sums: dict[str, Tensor] = {}
        self.steps = 0.0
        self.noted: dict[str, float] = {}
        self.sequences = 0
        """Read by this rank."""
        self.loads: dict[str, TokenLoad] = {}
        """What this rank's student and each teacher read so far."""
        self.before = 0.0
        self.since: float | None = None
        self.peak_before = 0
        self.load(None)

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

        `pull` is what the distance of K and V adds to the loss: logged as kv_weighted. The batch's
        teachers are in the order of the fusion's weights.
        """
        found = {"loss": loss, "ce": ce}
        if terms is not None:
            means = {"kv": terms.kv, "k": terms.keys, "v": terms.values, "entropy": terms.entropy}
            found |= {name: value.mean() / micro_batches for name, value in means.items()}
            found["kv_weighted"] = pull
            shares = by_teacher(terms.weights) / micro_batches
            found |= {f"weight_{k}": w for k, w in zip(batch.teachers, shares, strict=True)}
        for name, value in found.items():
            here = value.detach().float()
            self.sums[name] = self.sums[name].to(here) + here if name in self.sums else here
        self.steps += 1 / micro_batches
        self.sequences += len(batch.ids)
        self.count("student", batch.student)
        for teacher, reading in batch.teachers.items():
            self.count(teacher, reading.tokens)

    def count(self, reader: str, tokens: Tokens) -> None:
        """Adds what one model reads of a batch to its load, padding left out."""
        lengths = tokens.mask.sum(dim=1)
        before = self.loads.get(reader, TokenLoad(0, 0))
        more = int(lengths.sum()), int((lengths * lengths).sum())
        self.loads[reader] = TokenLoad(before.tokens + more[0], before.pairs + more[1])

    def read(self) -> Read:
        """What was read over all ranks, each of which must call this."""
        flat = [self.sequences]
        for load in self.loads.values():
            flat += [load.tokens, load.pairs]
        sequences, *rest = distributed.all_reduce_sum(torch.tensor(flat)).tolist()
        pairs = zip(rest[::2], rest[1::2], strict=True)
        return Read(sequences, {k: TokenLoad(*p) for k, p in zip(self.loads, pairs, strict=True)})

    def note(self, **found: float) -> None:
        """Keeps numbers measured at one step for the next training line."""
        self.noted |= found

    def write_train(self, step: int, extra: dict[str, float]) -> dict[str, float]:
        """One line, the means since the last one over ranks; all of them must call this."""
        sums = distributed.all_reduce_mean(torch.stack(list(self.sums.values())))
        means = {name: float(x) / self.steps for name, x in zip(self.sums, sums, strict=True)}
        means |= self.noted
        self.write({"step": step, "split": "train", **means, **extra})
        self.sums, self.steps, self.noted = {}, 0.0, {}
        return means

    def write(self, line: dict[str, Any]) -> None:
        """Appends a line with the seconds trained so far; rank 0 alone has a file.

        A number that is none is refused.
        """
        if not distributed.is_rank_zero():
            return
        text = json.dumps(line | {"train_s": self.seconds}, allow_nan=False)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(text + "\n")

    @property
    def seconds(self) -> float:
        """Time trained, over all interruptions; what validation takes is left out."""
        running = 0.0 if self.since is None else time.monotonic() - self.since
        return self.before + running

    @property
    def peak_bytes(self) -> int:
        """Most memory of this process so far (of the GPU, where there is one)."""
        if torch.cuda.is_available():
            return max(self.peak_before, torch.cuda.max_memory_allocated())
        return max(self.peak_before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)

    def run(self, running: bool) -> None:
        """Starts or stops the clock."""
        self.before, self.since = self.seconds, time.monotonic() if running else None

    def save(self, checkpoint: Path) -> None:
        """The lines so far and what each rank has summed up since, into a checkpoint."""
        if distributed.is_rank_zero():
            written = self.path.read_text(encoding="utf-8") if self.path.is_file() else ""
            write_text(checkpoint / LINES, written)
        sums = {name: float(value) for name, value in self.sums.items()}
        loads = {reader: asdict(load) for reader, load in self.loads.items()}
        write_json(
            checkpoint / STATE.format(rank=distributed.get_rank()),
            {
                "sums": sums,
                "steps": self.steps,
                "noted": self.noted,
                "sequences": self.sequences,
                "loads": loads,
                "seconds": self.seconds,
                "peak_bytes": self.peak_bytes,
            },
        )

    def load(self, checkpoint: Path | None) -> None:
        """Back to where a checkpoint was; None: to the beginning."""
        state: Mapping[str, Any] = {}
        if checkpoint:
            state = read_json(checkpoint / STATE.format(rank=distributed.get_rank()))
        sums: Mapping[str, float] = state.get("sums", {})
        self.sums = {name: torch.tensor(value) for name, value in sums.items()}
        self.steps = state.get("steps", 0.0)
        self.noted, self.sequences = dict(state.get("noted", {})), state.get("sequences", 0)
        self.loads = {name: TokenLoad(**load) for name, load in state.get("loads", {}).items()}
        self.peak_before = state.get("peak_bytes", 0)
        self.before, self.since = state.get("seconds", 0.0), None
        if not distributed.is_rank_zero():
            return
        if checkpoint:
            write_text(self.path, (checkpoint / LINES).read_text(encoding="utf-8"))
        else:
            self.path.unlink(missing_ok=True)


def by_teacher(weights: Float[Tensor, "layers teachers batch"]) -> Float[Tensor, " teachers"]:
    """Mean fusion weight of each teacher, over layers and the samples that a teacher covers."""
    total = weights.sum(dim=(0, 2))
    return total / total.sum().clamp(min=1e-12)


def by_layer(rooms: Rooms, parts: Float[Tensor, "layers 2"]) -> dict[str, dict[str, float]]:
    """Layer -> its distances of keys and of values, and what they add to the loss."""
    number = rooms.weights
    share = torch.tensor([number.keys, number.values]) / (number.keys + number.values)
    pull = (parts * share).sum(dim=1) * number.kv * rooms.balance.factor.cpu() / len(rooms.layers)
    return {
        str(layer): {"k": float(k), "v": float(v), "kv_weighted": float(kv)}
        for layer, (k, v), kv in zip(rooms.layers, parts, pull, strict=True)
    }
