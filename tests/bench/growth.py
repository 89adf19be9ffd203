"""How cost grows: the part `growth` of tests.bench.peers.

Length and teachers: a whole KV step of tests.bench.kv_core. Arms: expanding, checking without torch
and freezing a sweep. Items: lm-eval on a nano student. Runs: the report of tests.bench.claims.
"""

# ruff: noqa: T201 - a bench speaks on the terminal
import time
from argparse import Namespace
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from hydra import initialize_config_dir

from tests.bench import claims, kv_core
from tests.bench.arms import CONF, compose_config
from tests.bench.submitting import SWEEP
from tests.kv.artifacts import build_artifacts

EXPONENT = 1.15
BOUNDS = {
    "length_exponent": 1.5,  # attention is quadratic, all else linear
    **{f"{name}_exponent": EXPONENT for name in ("teachers", "arms", "items", "runs")},
}
"""Of processor seconds in the size, by least squares of the logarithms; 1 is linear."""


def measure(root: Path, arguments: Namespace) -> dict[str, Any]:
    """Processor seconds by size, and the exponent of each."""
    quick = arguments.quick
    rounds = arguments.rounds or (1 if quick else 3)
    seconds_by_part = {
        "length": lengths((128, 256, 512) if quick else (128, 256, 512, 1024, 2048), rounds),
        "teachers": teachers((1, 2, 4) if quick else (1, 2, 3, 4), rounds),
        "arms": arms(root, (1, 3, 10) if quick else (1, 3, 10, 30), rounds),
        "items": items(root, (16, 64) if quick else (16, 64, 256), rounds),
        "runs": runs((10, 30) if quick else (10, 100, 1000)),
    }
    figures: dict[str, Any] = {
        "growth_cpu_s": {k: format_seconds(v) for k, v in seconds_by_part.items()}
    }
    for name, seconds in seconds_by_part.items():
        slope = np.polyfit(np.log(list(seconds)), np.log(list(seconds.values())), 1)[0]
        figures[f"{name}_exponent"] = float(slope)
        print(f"{name:9} {figures[f'{name}_exponent']:5.2f}  {format_seconds(seconds)}", flush=True)
    return figures


def format_seconds(seconds: Mapping[int, float]) -> dict[str, float]:
    """For JSON, and for people."""
    return {str(size): round(value, 4) for size, value in seconds.items()}


def stepper(names: list[str], seq: int) -> Callable[[], None]:
    """A whole KV step of one text."""
    shapes = dict(zip(names, 2 * list(kv_core.TEACHERS.values()), strict=False))
    module = kv_core.distiller(shapes)
    batch, _ = kv_core.texts(np.random.default_rng(0), names, 1, seq)

    def step() -> None:
        ce, terms, _ = module(batch)
        (0.5 * ce / seq + terms.kv).backward()
        module.zero_grad(set_to_none=True)

    return step


def lengths(sizes: tuple[int, ...], rounds: int) -> dict[int, float]:
    """One step of two teachers, by tokens of the text."""
    work = [stepper(["a", "b"], size) for size in sizes]
    return dict(zip(sizes, kv_core.medians(work, rounds), strict=True))


def teachers(sizes: tuple[int, ...], rounds: int) -> dict[int, float]:
    """One step on 512 tokens, by teachers."""
    work = [stepper(list("abcd")[:size], kv_core.SEQ) for size in sizes]
    return dict(zip(sizes, kv_core.medians(work, rounds), strict=True))


def arms(root: Path, sizes: tuple[int, ...], rounds: int) -> dict[int, float]:
    """A sweep of so many arms with three seeds, expanded and frozen."""
    from kvdistill.plan.expand import expand_command
    from kvdistill.plan.freeze import freeze_plan

    def plan_arms(size: int) -> None:
        weights = [round(0.01 * number, 2) for number in range(1, size + 1)]
        name = f"arms_{size}_{time.monotonic_ns()}"
        (root / f"{name}.yaml").write_text(SWEEP.format(weights=weights), encoding="utf-8")
        with initialize_config_dir(str(CONF), version_base="1.3"):
            freeze_plan(expand_command([[f"sweep={name}", f"root={root / name}"]], root))

    work = [lambda size=size: plan_arms(size) for size in sizes]
    return dict(zip(sizes, kv_core.medians(work, rounds), strict=True))


def items(root: Path, sizes: tuple[int, ...], rounds: int) -> dict[int, float]:
    """The raw nano student, on so many items of one task."""
    from kvdistill.config.build import build_node
    from kvdistill.evaluate.harness import evaluate
    from kvdistill.models import load

    config = compose_config(f"root={root}", "tasks=nano7", "arm=sft")
    needs = build_artifacts(root, config, ("split", "model"))
    node, folder = config["student"], needs["student"]
    student = load.load_model(node, "student", folder)
    tokenizer = load.load_tokenizer(node, "student", folder)
    rows = {"test": needs["split"] / "train_teachers.jsonl"}  # the part with enough rows
    suite = replace(
        build_node("tasks", config["tasks"]),
        tasks=["nano_arithmetic"],
        beside=(),
        limit=None,
        shots={},
    )

    def score_items(size: int) -> None:
        evaluate(student, tokenizer, replace(suite, limit=size), rows)

    work = [lambda size=size: score_items(size) for size in sizes]
    return dict(zip(sizes, kv_core.medians(work, rounds), strict=True))


def runs(sizes: tuple[int, ...]) -> dict[int, float]:
    """The report of a study of so many runs, as tests.bench.claims writes and times it."""
    seconds_by_runs = {}
    for size in sizes:
        figures = claims.report(size)
        seconds_by_runs[figures["runs"]] = figures["report_cpu_s"]
    return seconds_by_runs
