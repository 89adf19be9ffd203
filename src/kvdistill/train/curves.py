"""curves.jsonl: losses, fusion weights and gradient norms of a run, a line a logging step.

Training lines hold means since the last one, validation lines means over the validation texts.
What is measured, and so differs from machine to machine, is `train_s` and, in training lines,
`speed` (train/speed/speed_meter.py, and docs/training.md with its units).
"""

import json
import resource
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from kvdistill import distributed, layout
from kvdistill.files import read_json, write_json, write_text
from kvdistill.logits.objective import LogitTerms
from kvdistill.plan.flops import TokenLoad
from kvdistill.train.objective import KVObjective
from kvdistill.train.speed.speed_meter import SpeedMeter
from kvdistill.train.step import Terms
from kvdistill.types import Batch, Tokens

NOTHING: Mapping[str, Tensor] = MappingProxyType({})
OWN, WRITTEN = "student's own texts", "student's writing"
"""Loads of a student that is compared on what it writes, beside those of given texts."""
STATE = "curves_{rank}.json"
"""In a checkpoint: what a rank has summed up since the last line."""


@dataclass(frozen=True)
class ReadCounts:
    """How much a run has read so far."""

    sequences: int
    loads: Mapping[str, TokenLoad]
    """Tokens read by `student` and by each teacher, by name."""


class CurveWriter:
    """Sums the terms of the steps since the last line, on their device, and writes their means.

    Its state is part of a checkpoint, so that a resumed run writes the lines that an uninterrupted
    one writes; only measured seconds differ.
    """

    def __init__(self, folder: Path, speed: SpeedMeter | None = None) -> None:
        """Writes to folder/curves.jsonl, which is begun anew; `load_state` continues one."""
        self.path = folder / layout.CURVES
        self.speed = speed or SpeedMeter()
        self.sums: dict[str, Tensor] = {}
        self.steps = 0.0
        self.extra_numbers: dict[str, float] = {}
        self.sequences = 0
        """Texts that this rank has read."""
        self.loads: dict[str, TokenLoad] = {}
        """Tokens that this rank's student and each teacher have read."""
        self.seconds_before = 0.0
        self.running_since: float | None = None
        self.peak_bytes_before = 0
        self.devices: list[str] = []
        """Kinds of processor that this run trained on: several where it was continued elsewhere."""
        self.load_state(None)

    def add_batch(
        self,
        loss: Tensor,
        ce: Tensor,
        weighted_kv: Tensor,
        terms: Terms | None,
        batch: Batch,
        micro_batches: int,
        more: Mapping[str, Tensor] = NOTHING,
    ) -> None:
        """Counts a micro-batch in; `loss`, `ce`, `weighted_kv` are already its share of the step.

        `weighted_kv` is what the distance of K and V adds to the loss. The batch's teachers must
        be in the order of the fusion's weights. `more` are shares of the step by name.
        """
        numbers = {"loss": loss, "ce": ce, **more}
        if terms is not None:
            means = {"kv": terms.kv, "k": terms.keys, "v": terms.values, "entropy": terms.entropy}
            numbers |= {name: value.mean() / micro_batches for name, value in means.items()}
            numbers["kv_weighted"] = weighted_kv
            shares = average_weights(terms.weights) / micro_batches
            numbers |= {f"weight_{k}": w for k, w in zip(batch.teachers, shares, strict=True)}
        for name, value in numbers.items():
            # Kept on the device: reading a number here would wait for the GPU in every step.
            number = value.detach().float()
            self.sums[name] = self.sums[name].to(number) + number if name in self.sums else number
        self.steps += 1 / micro_batches
        self.speed.count_batch(batch, micro_batches)
        self.sequences += len(batch.ids)
        teachers = {name: reading.tokens for name, reading in batch.teachers.items()}
        self.count_tokens({"student": batch.student, **teachers})

    def count_tokens(self, models: Mapping[str, Tokens]) -> None:
        """Adds what each model reads of a batch to its load, padding left out."""
        lengths = torch.stack([tokens.mask.sum(dim=1) for tokens in models.values()])
        # All in one: each reading waits for a GPU.
        read = torch.stack((lengths.sum(dim=1), lengths.square().sum(dim=1)), dim=1).tolist()
        for model, (tokens_read, pairs) in zip(models, read, strict=True):
            load = self.loads.get(model, TokenLoad(0, 0))
            self.loads[model] = TokenLoad(load.tokens + tokens_read, load.pairs + pairs)

    def count_own(self, tokens: Tokens, written: TokenLoad) -> None:
        """Counts own texts: what the student trains on of them, and what it took to write them."""
        self.count_tokens({OWN: tokens})
        load = self.loads.get(WRITTEN, TokenLoad(0, 0))
        self.loads[WRITTEN] = TokenLoad(load.tokens + written.tokens, load.pairs + written.pairs)

    def sum_over_ranks(self) -> ReadCounts:
        """What all ranks have read; each of them must call this."""
        # One reduction of a flat vector: every rank reads with the same models, in the same order.
        flat = [self.sequences]
        for load in self.loads.values():
            flat += [load.tokens, load.pairs]
        sequences, *rest = distributed.all_reduce_sum(torch.tensor(flat)).tolist()
        pairs = zip(rest[::2], rest[1::2], strict=True)
        loads = {name: TokenLoad(*pair) for name, pair in zip(self.loads, pairs, strict=True)}
        return ReadCounts(sequences, loads)

    def add_numbers(self, **numbers: float) -> None:
        """Keeps numbers that are measured at one step for the next training line."""
        self.extra_numbers |= numbers

    def write_training_line(self, step: int, extra: dict[str, float]) -> dict[str, float]:
        """Writes the means since the last line, and returns them; every rank must call this."""
        sums = torch.stack(list(self.sums.values())).double()
        amounts = self.speed.begin_line(self.speed.list_amounts(self.loads))
        # One reduction for all.
        reduced = distributed.all_reduce_mean(torch.cat([sums, sums.new_tensor(amounts)])).tolist()
        means = {name: x / self.steps for name, x in zip(self.sums, reduced, strict=False)}
        means |= self.extra_numbers
        speed = self.speed.describe_speed(reduced[len(sums) :])
        if speed:
            speed["peak_bytes"] = self.peak_bytes
        self.write_line({"step": step, "split": "train", **means, **extra, "speed": speed})
        self.sums, self.steps, self.extra_numbers = {}, 0.0, {}
        numbers = {k: v for k, v in speed.items() if isinstance(v, int | float)}
        return means | {f"speed/{name}": value for name, value in numbers.items()}

    def summarize_speed(self) -> dict[str, Any]:
        """Rates of the whole run, a mean over ranks, each of which must call this."""
        amounts = torch.tensor(self.speed.list_amounts(self.loads), dtype=torch.float64)
        means = distributed.all_reduce_mean(amounts).tolist()
        facts = {"peak_flops": self.speed.peak_flops, "on_gpu": self.speed.clock.on_gpu}
        return self.speed.describe_speed(means) | facts

    def write_line(self, line: dict[str, Any]) -> None:
        """Appends a line with the seconds trained so far; rank 0 alone writes.

        Raises ValueError for NaN and infinities, which are no JSON.
        """
        if not distributed.is_rank_zero():
            return
        text = json.dumps(line | {"train_s": self.train_seconds}, allow_nan=False)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(text + "\n")

    @property
    def train_seconds(self) -> float:
        """Seconds trained, over all interruptions; validation is left out."""
        running = 0.0 if self.running_since is None else time.monotonic() - self.running_since
        return self.seconds_before + running

    @property
    def peak_bytes(self) -> int:
        """Most memory of this process so far, in bytes: of the GPU where there is one."""
        if torch.cuda.is_available():
            return max(self.peak_bytes_before, torch.cuda.max_memory_allocated())
        # ru_maxrss is in KiB on Linux.
        return max(
            self.peak_bytes_before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        )

    def set_clock(self, running: bool) -> None:
        """Starts or stops the training clock, and that of the parts of a step."""
        if running:
            self.speed.clock.start()
        else:
            self.speed.clock.stop()
        self.seconds_before = self.train_seconds  # before the clock is set anew: it is read here
        self.running_since = time.monotonic() if running else None

    def save_state(self, checkpoint: Path) -> None:
        """Writes the lines so far (rank 0) and this rank's sums since then into a checkpoint."""
        if distributed.is_rank_zero():
            lines = self.path.read_text(encoding="utf-8") if self.path.is_file() else ""
            write_text(checkpoint / layout.CURVES, lines)
        sums = {name: float(value) for name, value in self.sums.items()}
        loads = {model: asdict(load) for model, load in self.loads.items()}
        write_json(
            checkpoint / STATE.format(rank=distributed.get_rank()),
            {
                "sums": sums,
                "steps": self.steps,
                "noted": self.extra_numbers,
                "sequences": self.sequences,
                "loads": loads,
                "seconds": self.train_seconds,
                "speed": self.speed.save_state(),
                "peak_bytes": self.peak_bytes,
                "devices": self.devices,
            },
        )

    def load_state(self, checkpoint: Path | None) -> None:
        """Goes back to where a checkpoint was; None: to the beginning, without lines."""
        state: Mapping[str, Any] = {}
        if checkpoint:
            state = read_json(checkpoint / STATE.format(rank=distributed.get_rank()))
        sums: Mapping[str, float] = state.get("sums", {})
        self.sums = {name: torch.tensor(value) for name, value in sums.items()}
        self.steps = state.get("steps", 0.0)
        self.extra_numbers, self.sequences = dict(state.get("noted", {})), state.get("sequences", 0)
        self.loads = {name: TokenLoad(**load) for name, load in state.get("loads", {}).items()}
        self.peak_bytes_before = state.get("peak_bytes", 0)
        self.speed.load_state(state.get("speed", {}))
        self.devices = list(
            dict.fromkeys([*state.get("devices", []), distributed.describe_device()])
        )
        self.seconds_before, self.running_since = state.get("seconds", 0.0), None
        if not distributed.is_rank_zero():
            return
        # Lines written after the checkpoint go: the steps are taken again.
        if checkpoint:
            write_text(self.path, (checkpoint / layout.CURVES).read_text(encoding="utf-8"))
        else:
            self.path.unlink(missing_ok=True)


def describe_logit_terms(
    terms: LogitTerms, token_share: Tensor | float, teachers: Sequence[str]
) -> dict[str, Tensor]:
    """What the curves say of next-token distributions, as means over answer tokens.

    `token_share` is what one token counts in the mean. `logits_covered` is the share of tokens that
    a teacher says something of, and `logits_NAME` a teacher's mean weight over all of them.
    """
    weights = terms.weights.sum(dim=1) * token_share
    return {
        "logits": terms.total.detach() * token_share,
        "logits_covered": weights.sum(),
        **{f"logits_{name}": weight for name, weight in zip(teachers, weights, strict=True)},
    }


def average_weights(weights: Float[Tensor, "layers teachers batch"]) -> Float[Tensor, " teachers"]:
    """Share of each teacher in the fusion weights, over layers and the samples that are covered."""
    total = weights.sum(dim=(0, 2))
    return total / total.sum().clamp(min=1e-12)


def compute_layer_terms(
    objective: KVObjective, parts: Float[Tensor, "layers 2"], kv_weight: float
) -> dict[str, dict[str, float]]:
    """Layer -> its distances of keys and of values, and what they add to the loss.

    `parts` are a layer's distances of keys and of values, in the objective's order of layers;
    `kv_weight` is the present one of the KV term.
    """
    weights = objective.weights
    share = torch.tensor([weights.keys, weights.values]) / (weights.keys + weights.values)
    factor = objective.balance.factor.cpu()
    weighted = (parts * share).sum(dim=1) * kv_weight * factor / len(objective.layers)
    return {
        str(layer): {"k": float(k), "v": float(v), "kv_weighted": float(kv)}
        for layer, (k, v), kv in zip(objective.layers, parts, weighted, strict=True)
    }
