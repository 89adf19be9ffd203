"""Does a run that is disturbed end as if nothing had happened?

    python -m tests.bench.faults [--quick] [--seed N]

1. Kills: one nano run, its whole command ended by SIGKILL at random instants of the run's own time
   (twenty; two with --quick) drawn from a seed, and continued by repeating the same command. Its
   weights and its curves, measured seconds aside, are compared with those of a run left alone.

Another kind of fault is one function more in FAULTS. The last line is one JSON object.
"""

# ruff: noqa: T201 - a bench speaks on the terminal
import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
RUN = [
    "arm=multi_teacher", "fusion=learnable", "references=false", "tasks=quick", "seed=42",
    "train.save_steps=2", "train.logging_steps=3", "train.eval_steps=5", "train.eval_tasks=4",
]  # fmt: skip
FULL = ["budget.total_tokens=245760", "teachers.a.build.training.steps=100",
        "teachers.b.build.training.steps=100"]  # fmt: skip
QUICK = ["budget.total_tokens=10240", "budget.batch_size=16", "data.source.rows=40",
         "train.calibration_rows=8", "train.eval_tasks=0", "teachers.a.build.training.steps=2",
         "teachers.b.build.training.steps=2"]  # fmt: skip
MEASURED = "train_s"


def main() -> int:
    """Disturbs, prints, and says whether every bound holds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    figures: dict[str, Any] = {"quick": given.quick, "seed": given.seed}
    bounds: dict[str, Any] = {}
    for fault in FAULTS:
        found, asked = fault(given.quick, random.Random(given.seed))
        figures |= found
        bounds |= asked
    ok = all(figures[name] == bound for name, bound in bounds.items())
    print(json.dumps({"name": "faults", "figures": figures, "bounds": bounds, "ok": ok}))
    return 0 if ok else 1


def kills(quick: bool, chance: random.Random) -> tuple[dict[str, Any], dict[str, Any]]:
    """Kills one run again and again; (figures, what they must be)."""
    wanted = 2 if quick else 20
    arguments = [*RUN, *(QUICK if quick else FULL)]
    with tempfile.TemporaryDirectory() as room:
        calm, killed = Path(room) / "calm", Path(room) / "killed"
        ready, took = times(calm, arguments)
        print(f"left alone: {ready:.1f} s to its first step, {took:.1f} s in all", flush=True)
        # The same teachers: what is disturbed is the run.
        shutil.copytree(calm / "artifacts", killed / "artifacts")
        instants = sorted(chance.uniform(0, took) for _ in range(wanted))
        steps = []
        for before, instant in pairwise([0.0, *instants]):
            # A command that continues is as long as the first in coming to a step.
            steps.append(disturb(killed, arguments, instant - before + ready * (before > ready)))
            print(f"kill {len(steps)}: at {instant:.1f} s, step {steps[-1]}", flush=True)
        finish(killed, arguments)
        alone, again = ended(calm), ended(killed)
        figures = {
            "kills": sum(step is not None for step in steps),
            "kill_instants_s": [round(instant, 2) for instant in instants],
            "kill_steps": steps,
            "weights_identical": weights(alone) == weights(again),
            "curves_identical": curves(alone) == curves(again),
            "unused_checkpoints_named": (again / "log.txt").read_text().count("is not used"),
        }
    return figures, {"kills": wanted, "weights_identical": True, "curves_identical": True}


def times(root: Path, arguments: list[str]) -> tuple[float, float]:
    """Seconds from a run's first sign of life to its first step, and to its end."""
    command = start(root, arguments)
    began = first = None
    while command.poll() is None:
        status = said(root)
        began = began or (time.monotonic() if status.get("state") == "running" else None)
        first = first or (time.monotonic() if status.get("step") else None)
        time.sleep(0.02)
    assert command.returncode == 0, said(root)
    assert began is not None
    assert first is not None
    return first - began, time.monotonic() - began


def disturb(root: Path, arguments: list[str], instant: float) -> int | None:
    """Starts the command and kills all of it `instant` seconds after its run has begun.

    Returns the last step it told of; None where it ended before that.
    """
    before = said(root)
    command = start(root, arguments)
    status = None
    try:
        while not begun(before, said(root)) and command.poll() is None:
            time.sleep(0.02)
        until = time.monotonic() + instant
        while time.monotonic() < until and command.poll() is None:
            time.sleep(0.01)
        if command.poll() is None:
            os.killpg(command.pid, signal.SIGKILL)
            status = said(root).get("step", 0)
    finally:
        command.wait()
    return status


def begun(before: dict[str, Any], now: dict[str, Any]) -> bool:
    """Whether the run has given a sign of life of its own since."""
    return now.get("state") == "running" and now["heartbeat"] != before.get("heartbeat")


def start(root: Path, arguments: list[str]) -> subprocess.Popen[bytes]:
    """The command, in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "launch.py", f"root={root}", *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def finish(root: Path, arguments: list[str]) -> None:
    """The command, to its end."""
    code = start(root, arguments).wait()
    if code != 0:
        raise SystemExit(f"the command ended with {code}: {said(root)}")


def run_folder(root: Path) -> Path | None:
    """The one run's folder, once it is planned."""
    return next(iter(root.glob("runs/*/runs/seed42-*[0-9a-f]")), None)


def said(root: Path) -> dict[str, Any]:
    """The run's status; empty before there is one."""
    folder = run_folder(root)
    path = folder / "status.json" if folder else None
    return json.loads(path.read_text()) if path is not None and path.is_file() else {}


def ended(root: Path) -> Path:
    """The finished run's folder."""
    folder = run_folder(root)
    assert folder is not None
    assert (folder / "manifest.json").is_file(), said(root)
    return folder


def weights(folder: Path) -> str:
    """Content hash of what was trained."""
    return hashlib.sha256((folder / "model/model.safetensors").read_bytes()).hexdigest()


def curves(folder: Path) -> list[dict[str, Any]]:
    """Every line without measured seconds."""
    lines = (folder / "curves.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(one).items() if k != MEASURED} for one in lines]


Fault = Callable[[bool, random.Random], tuple[dict[str, Any], dict[str, Any]]]
FAULTS: list[Fault] = [kills]

if __name__ == "__main__":
    sys.exit(main())
