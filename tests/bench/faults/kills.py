"""One nano run, its whole command ended by SIGKILL again and again.

The instants are drawn from a seed over the run's own time; each kill is continued by repeating the
same command. Weights and curves, measured seconds aside, are compared with a run left alone: in a
hurry that of the small sweep, which is then killed once.
"""

# ruff: noqa: T201 - a bench speaks on the terminal
import json
import random
import shutil
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from kvdistill.files import read_sealed
from tests.bench.faults import study
from tests.slurm.study import evidence

RUN = [
    "arm=multi_teacher", "fusion=learnable", "references=false", "tasks=quick", "seed=42",
    "train.save_steps=2", "train.logging_steps=3", "train.eval_steps=5", "train.eval_tasks=4",
    "budget.total_tokens=245760", "teachers.a.build.training.steps=100",
    "teachers.b.build.training.steps=100",
]  # fmt: skip
WEIGHTS = "model/model.safetensors"
COUNT = 20


def measure(room: Path, chance: random.Random) -> tuple[dict[str, Any], dict[str, Any]]:
    """Kills one run again and again; (figures, what they must be)."""
    calm, killed = room / "alone", room / "killed"
    ready, took = measure_times(calm, RUN)
    print(f"left alone: {ready:.1f} s to its first step, {took:.1f} s in all", flush=True)
    # The same teachers: what is disturbed is the run.
    shutil.copytree(calm / "artifacts", killed / "artifacts")
    instants = sorted(chance.uniform(0, took) for _ in range(COUNT))
    steps = []
    for before, instant in pairwise([0.0, *instants]):
        # A command that continues is where the last one was when it tells of its first step.
        continued = before > ready
        gap = instant - before if continued else instant
        steps.append(disturb(killed, RUN, gap, stepped=continued))
        print(f"kill {len(steps)}: at {instant:.1f} s, step {steps[-1]}", flush=True)
    finish(killed, RUN)
    return compare(calm, killed, instants, steps)


def measure_once(
    calm: study.Calm, room: Path, chance: random.Random
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Kills the small sweep's run once, at an instant of the time that it took itself."""
    killed = room / "killed"
    shutil.copytree(calm.root / "artifacts", killed / "artifacts")
    took = read_sealed(find_finished_run(calm.root) / "manifest.json")["wall_s"]
    instant = chance.uniform(0, took)
    step = disturb(killed, calm.arguments, instant, stepped=False)
    ended = calm.run(killed)
    if ended.code != 0:
        raise SystemExit(f"the command ended with {ended.code}: {ended.stderr}")
    return compare(calm.root, killed, [instant], [step])


def compare(
    calm: Path, killed: Path, instants: Sequence[float], steps: Sequence[int | None]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The run that was killed with the one that was left alone."""
    alone, again = evidence(find_finished_run(calm)), evidence(find_finished_run(killed))
    figures = {
        "kills": sum(step is not None for step in steps),
        "kill_instants_s": [round(instant, 2) for instant in instants],
        "kill_steps": list(steps),
        "weights_identical": alone[WEIGHTS] == again[WEIGHTS],
        "curves_identical": alone["curves"] == again["curves"],
        "unused_checkpoints_named": (find_finished_run(killed) / "log.txt")
        .read_text()
        .count("is not used"),
    }
    return figures, {"kills": len(instants), "weights_identical": True, "curves_identical": True}


def measure_times(root: Path, arguments: Sequence[str]) -> tuple[float, float]:
    """Seconds from a run's first sign of life to its first step, and to its last record."""
    command = study.start(root, arguments=arguments)
    began = first = last = None
    while command.poll() is None:
        status = read_run_status(root)
        began = began or (time.monotonic() if status.get("state") == "running" else None)
        first = first or (time.monotonic() if status.get("step") else None)
        last = last or (time.monotonic() if status.get("state") == "done" else None)
        time.sleep(0.02)
    if command.returncode != 0:
        raise SystemExit(f"the command ended with {study.end(command)}: {read_run_status(root)}")
    assert began is not None
    assert first is not None
    return first - began, (last or time.monotonic()) - began


def disturb(root: Path, arguments: Sequence[str], instant: float, *, stepped: bool) -> int | None:
    """Kills all of a command `instant` seconds after its run has begun, or has made a step.

    Returns the last step it told of; None where it ended before that.
    """
    before = read_run_status(root)
    command = study.start(root, arguments=arguments)
    while not has_begun(before, read_run_status(root), stepped) and command.poll() is None:
        time.sleep(0.02)
    until = time.monotonic() + instant
    while time.monotonic() < until and command.poll() is None:
        time.sleep(0.01)
    alive = command.poll() is None
    study.kill(command)
    return read_run_status(root).get("step", 0) if alive else None


def has_begun(before: dict[str, Any], now: dict[str, Any], stepped: bool) -> bool:
    """Whether the run has given a sign of life of its own since: of a step if `stepped`."""
    alive = now.get("state") == "running" and now["heartbeat"] != before.get("heartbeat")
    return alive and (now["step"] > 0 or not stepped)


def finish(root: Path, arguments: Sequence[str]) -> None:
    """The command, to its end."""
    ended = study.end(study.start(root, arguments=arguments))
    if ended.code != 0:
        raise SystemExit(f"the command ended with {ended.code}: {ended.stderr}")


def run_folder(root: Path) -> Path | None:
    """The one run's folder, once it is planned."""
    folders = root.glob("runs/*/runs/seed*")
    return next((path for path in folders if path.is_dir()), None)  # not the lease beside it


def read_run_status(root: Path) -> dict[str, Any]:
    """The run's status; empty before there is one."""
    folder = run_folder(root)
    path = folder / "status.json" if folder else None
    return json.loads(path.read_text()) if path is not None and path.is_file() else {}


def find_finished_run(root: Path) -> Path:
    """The finished run's folder."""
    folder = run_folder(root)
    assert folder is not None
    assert (folder / "manifest.json").is_file(), read_run_status(root)
    return folder
