"""Go or no go: what a smoke job's runs left in their folders, beside what the plan foretold."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from kvdistill import layout
from kvdistill.config.schema import SmokeSettings
from kvdistill.files import is_complete, read_json, read_sealed
from kvdistill.plan.resources.foretold import Foretold

GPU_RESUME_SLACK = 0.01
"""Of a GPU, whose sums have no fixed order: as `smoke.resume_slack` without a value has it."""


@dataclass(frozen=True)
class SmokeRun:
    """One run of a smoke job, as its folder has it."""

    label: str
    failure: str = ""
    """The one line that says why it failed; empty where it is complete."""
    lines: Sequence[Mapping[str, Any]] = ()
    """Training lines of its curves."""
    ledger: Mapping[str, Any] = field(default_factory=dict)
    results: Mapping[str, Any] = field(default_factory=dict)

    @property
    def on_gpu(self) -> bool:
        """Whether it trained on one, whose memory is counted apart from the process's own."""
        return bool((self.ledger.get("speed") or {}).get("on_gpu"))

    @property
    def speeds(self) -> list[Mapping[str, Any]]:
        """Of the lines after the first, which holds what is set up once."""
        return [line["speed"] for line in self.lines[1:] if line.get("speed")]

    def measure(self, *path: str) -> float | None:
        """The median of a rate over `speeds`; None where there is none."""
        values = []
        for speed in self.speeds:
            value: Any = speed
            for key in path:
                value = value[key]
            if value is None:
                return None
            values.append(value)
        return median(values) if values else None

    def count_items(self) -> int:
        """Items that were scored."""
        return sum(task["n"] for task in (self.results.get("tasks") or {}).values())


def read_run(label: str, folder: Path, failure: str) -> SmokeRun:
    """What lies in a run's folder; `failure` is why it failed, empty where it did not."""
    lines = read_training_lines(folder / layout.CURVES)
    if failure or not is_complete(folder):
        return SmokeRun(label, failure or "it left no manifest", lines)
    ledger = read_sealed(folder / layout.MANIFEST)["ledger"]
    return SmokeRun(label, "", lines, ledger, read_json(folder / layout.RESULTS))


def read_training_lines(path: Path) -> list[dict[str, Any]]:
    """The training lines of a curves.jsonl with a loss; none where there is no file."""
    if not path.is_file():
        return []
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if line["split"] == "train" and "loss" in line]


def list_faults(
    run: SmokeRun, foretold: Foretold, usable_bytes: int | None, settings: SmokeSettings
) -> Iterator[str]:
    """Why a run speaks against starting the study, a sentence each."""
    if run.failure:
        yield f"{run.label}: {run.failure}"
        return
    if bad := [line["step"] for line in run.lines if not math.isfinite(line["loss"])]:
        yield f"{run.label}: the loss is not finite at step {bad[0]}"
    if not run.speeds:
        yield f"{run.label}: its curves say nothing of its speed"
    yield from list_memory_faults(run, foretold, usable_bytes, settings)
    if not run.count_items():
        yield f"{run.label}: no item was scored"
    if missing := run.results.get("missing"):
        yield f"{run.label}: not scored: {', '.join(missing)}"


def list_memory_faults(
    run: SmokeRun, foretold: Foretold, usable_bytes: int | None, settings: SmokeSettings
) -> Iterator[str]:
    """Of a GPU's memory alone: a CPU's peak is that of the whole process."""
    peak = run.ledger.get("peak_bytes")
    if peak is None or not run.on_gpu:
        return
    if peak > foretold.peak_bytes * (1 + settings.memory_slack):
        yield (
            f"{run.label}: its peak memory is {peak / 2**30:.1f} GiB, and the plan foretold "
            f"{foretold.peak_bytes / 2**30:.1f} (smoke.memory_slack={settings.memory_slack:g})"
        )
    if usable_bytes is not None and peak > usable_bytes:
        yield (
            f"{run.label}: its peak memory is {peak / 2**30:.1f} GiB, and estimate.kind="
            f"{foretold.kind} has {usable_bytes / 2**30:.1f} to use"
        )


def list_resume_faults(
    whole: SmokeRun, resumed: SmokeRun, killed_at: int | None, settings: SmokeSettings
) -> Iterator[str]:
    """Why the run that was killed and resumed is not the one that was not killed.

    `killed_at`: the step after which it was; None where it never came so far.
    """
    name = f"{resumed.label}, killed and resumed"
    if killed_at is None:
        yield f"{name}: it was never killed: {resumed.failure or 'it did not come so far'}"
        return
    if resumed.failure:
        yield f"{name}: {resumed.failure}"
        return
    began = resumed.ledger.get("resumed_from", 0)
    if not 0 < began < killed_at:
        yield f"{name}: killed after step {killed_at}, it began again at step {began}"
    slack = settings.resume_slack
    if slack is None:
        slack = GPU_RESUME_SLACK if resumed.on_gpu else 0.0
    losses = {line["step"]: line["loss"] for line in whole.lines}
    other = {line["step"]: line["loss"] for line in resumed.lines}
    if losses.keys() != other.keys():
        yield f"{name}: it has lines of steps {sorted(other)}, the other run of {sorted(losses)}"
        return
    for step, loss in losses.items():
        if abs(other[step] - loss) > slack * abs(loss):
            yield (
                f"{name}: its loss at step {step} is {other[step]!r}, and {loss!r} of the run that "
                f"was not killed (smoke.resume_slack={slack:g})"
            )
            return
