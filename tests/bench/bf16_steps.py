"""A KV step in bfloat16 beside the same in float32, on this processor, and what it does to a curve.

Three trainings of one arm, side by side: all in float32; with a bfloat16 teacher; and under
bfloat16 autocast too. Each takes the same step in turn, so that a ratio is of one moment. Distances
of curves are shares of what the float32 run's loss falls, as in tests.bench.gpu_ready.bf16_curve.
Part `bf16` of tests.bench.peers; left out where the processor multiplies bfloat16 slowly.
"""

# ruff: noqa: T201 - a bench speaks on the terminal
import os
import statistics
import sys
import time
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from kvdistill.processor import multiplies_bf16_fast
from tests.bench.arms import Arm, compose_config, write_rows
from tests.kv.artifacts import build_artifacts

STEPS, QUICK_STEPS = 30, 4
WARM = 2
"""Steps whose times are not counted."""
KINDS = {
    "fp32": (),
    "bf16_teacher": ("teachers.a.dtype=bfloat16",),
    "bf16": ("teachers.a.dtype=bfloat16", "train.bf16=true"),
}
SIZE = (
    "budget.batch_size=2", "budget.seq_len=128", "train.calibration_rows=4", "style=cot",
    "train.lr=1e-4",
)  # fmt: skip
"""Of 4 x 256 tokens: thirty steps of each kind are minutes. A rate that needs no warmup."""
BOUNDS = {"bf16_step_over_fp32": 0.9}


def measure(root: Path, arguments: Namespace) -> dict[str, Any]:
    """SmolLM2-135M teaching its half, where its weights are."""
    if not multiplies_bf16_fast() or arguments.smollm is None:
        print("bf16 is left out: no weights of SmolLM2, or no processor that multiplies it quickly")
        return {}
    write_rows(root / "gsm8k/main/train.jsonl", 60)
    write_rows(root / "gsm8k/main/test.jsonl", 10)
    overrides = (
        "scale=smollm", f"smollm2={arguments.smollm.resolve()}", f"benchmarks={root}",
        f"root={root}", "arm=single_teacher", *SIZE,
    )  # fmt: skip
    torch.set_num_threads(arguments.threads or len(os.sched_getaffinity(0)))
    steps = arguments.rounds or (QUICK_STEPS if arguments.quick else STEPS)
    return compare_kinds(root, overrides, steps, arguments.clock)


def compare_kinds(
    root: Path, overrides: Sequence[str], steps: int, clock: str = "wall"
) -> dict[str, Any]:
    """Each kind's seconds a step over float32's, and how far its curve is from float32's."""
    arms = {}
    for kind, given in KINDS.items():
        config = compose_config(*overrides, *given)
        build_artifacts(root, config, ("split", "conversion", "model", "calibration"))
        torch.manual_seed(0)
        arms[kind] = Arm(root, config)
    read_clock = time.process_time if clock == "processor" else time.perf_counter
    losses: dict[str, list[float]] = {kind: [] for kind in arms}
    seconds: dict[str, list[float]] = {kind: [] for kind in arms}
    rows, width = list(arms["fp32"].trainer.sampler), int(config["budget"]["batch_size"])
    for step in range(steps):
        for kind, arm in arms.items():
            batch = [rows[(step * width + place) % len(rows)] for place in range(width)]
            began = read_clock()
            losses[kind].append(arm.step(batch))
            seconds[kind].append(read_clock() - began)
        line = ", ".join(f"{k} {losses[k][-1]:.4f} {seconds[k][-1]:.2f} s" for k in arms)
        print(f"bf16 {step + 1}/{steps} {line}", flush=True)
    figures: dict[str, Any] = {"bf16": {"losses": losses, "seconds": seconds}}
    for kind in ("bf16_teacher", "bf16"):
        pairs = list(zip(seconds[kind], seconds["fp32"], strict=True))[min(WARM, steps - 1) :]
        figures[f"{kind}_step_over_fp32"] = statistics.median(half / whole for half, whole in pairs)
        worst, end = compare_curves(losses["fp32"], losses[kind])
        figures[f"{kind}_curve_percent"], figures[f"{kind}_curve_end_percent"] = worst, end
    return figures


def compare_curves(exact: Sequence[float], half: Sequence[float]) -> tuple[float, float]:
    """The largest distance of a step and that of the last quarter's mean, percent of the fall."""
    last = max(len(exact) // 4, 1)
    scale = 100 / (exact[0] - statistics.mean(exact[-last:]))
    worst = max(abs(one - other) for one, other in zip(exact, half, strict=True))
    end = statistics.mean(half[-last:]) - statistics.mean(exact[-last:])
    return scale * worst, scale * abs(end)


if __name__ == "__main__":
    sys.exit("python -m tests.bench.peers --only bf16")
