"""Does a run that is disturbed end as if nothing had happened?

    python -m tests.bench.faults [--quick] [--seed N]

1. Kills: one nano run, its whole command ended by SIGKILL at random instants (twenty; one with
   --quick) drawn from a seed, and continued by repeating the same command. Its weights and its
   curves, measured seconds aside, are compared with those of a run that was left alone.

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
    wanted = 1 if quick else 20
    arguments = [*RUN, *(QUICK if quick else FULL)]
    with tempfile.TemporaryDirectory() as room:
        calm, killed = Path(room) / "calm", Path(room) / "killed"
        began = time.monotonic()
        finish(calm, arguments)
        alone = ended(calm)
        took = json.loads((alone / "manifest.json").read_text())["wall_s"]
        print(f"left alone: {time.monotonic() - began:.0f} s, the run {took:.1f} s", flush=True)
        # The same teachers: what is disturbed is the run.
        shutil.copytree(calm / "artifacts", killed / "artifacts")
        instants, steps = [], []
        while len(instants) < wanted and not done(killed):
            instant = chance.uniform(0, took)
            step = disturb(killed, arguments, instant)
            if step is not None:
                instants.append(round(instant, 2))
                steps.append(step)
                print(f"kill {len(instants)}: {instant:.1f} s in, step {step}", flush=True)
        finish(killed, arguments)
        again = ended(killed)
        figures = {
            "kills": len(instants),
            "kill_instants_s": instants,
            "kill_steps": steps,
            "weights_identical": weights(alone) == weights(again),
            "curves_identical": curves(alone) == curves(again),
            "unused_checkpoints_named": (again / "log.txt").read_text().count("is not used"),
        }
    return figures, {"kills": wanted, "weights_identical": True, "curves_identical": True}


def disturb(root: Path, arguments: list[str], instant: float) -> int | None:
    """Starts the command and kills all of it `instant` seconds after its run has begun.

    Returns the last step it told of; None where it ended before that.
    """
    command = start(root, arguments)
    status = None
    try:
        before = beat(root)
        while beat(root) == before and command.poll() is None:
            time.sleep(0.05)
        until = time.monotonic() + instant
        while time.monotonic() < until and command.poll() is None:
            time.sleep(0.01)
        if command.poll() is None:
            os.killpg(command.pid, signal.SIGKILL)
            status = said(root).get("step", 0)
    finally:
        command.wait()
    return status


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


def beat(root: Path) -> float:
    """When the run last gave a sign of life."""
    return float(said(root).get("heartbeat", 0.0))


def done(root: Path) -> bool:
    """Whether the run is finished."""
    folder = run_folder(root)
    return folder is not None and (folder / "manifest.json").is_file()


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
