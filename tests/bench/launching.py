"""What a person waits for before anything is trained: the part `launch` of tests.bench.peers."""

# ruff: noqa: T201 - a bench speaks on the terminal
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.bench.submitting import ROOT, SWEEP

BOUNDS = {"plan_sweep_s": 20.0, "plan_m_s": 120.0, "help_s": 1.5, "first_step_beyond_s": 5.0}
SEEDS = (42, 43, 44)
IMPORTS = "import torch; from transformers import AutoModelForCausalLM, Trainer"
NANO = (
    "tasks=quick", "budget.total_tokens=8192", "teachers.a.build.training.steps=1",
    "teachers.b.build.training.steps=1",
)  # fmt: skip
"""Two steps; untrained teachers are as quickly loaded."""
DRY = ("cluster=slurm", "cluster.dry_run=true")
"""Composes, checks and plans; writes and queues nothing."""
SINGLE = {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}


def measure(root: Path, arguments: Namespace) -> dict[str, Any]:
    """Seconds of each, and processor seconds, children included."""
    home = copy_project(root)
    rounds = arguments.rounds or (1 if arguments.quick else 5)
    arms = 20 if arguments.quick else 334
    weights = [round(0.01 * number, 2) for number in range(1, arms + 1)]
    (home / "sweeps/large.yaml").write_text(SWEEP.format(weights=weights), encoding="utf-8")
    each = ",".join(map(str, weights)), ",".join(map(str, SEEDS))
    commands = {
        "help": ["--help"],
        "plan_sweep": ["sweep=large", *DRY],
        "plan_m": ["-m", f"loss.kv_weight={each[0]}", f"seed={each[1]}", *DRY],
    }
    figures: dict[str, Any] = {"planned_runs": arms * len(SEEDS)}
    for name, command in commands.items():
        many = rounds if name == "help" else 1
        launched = [sys.executable, str(home / "launch.py"), *command]
        figures |= summarize_clocks(name, [time_command(launched, home) for _ in range(many)])
    figures |= summarize_clocks(
        "import", [time_command([sys.executable, "-c", IMPORTS], home) for _ in range(rounds)]
    )
    figures |= summarize_clocks("first_step", first_steps(home, rounds))
    for clock in ("s", "cpu_s"):
        beyond = figures[f"first_step_{clock}"] - figures[f"import_{clock}"]
        figures[f"first_step_beyond_{clock}"] = beyond
    if arguments.clock == "processor":
        # The bounds are seconds of a person; on a shared machine the processor's stand for them.
        for name in BOUNDS:
            figures[name] = figures[f"{name.removesuffix('_s')}_cpu_s"]
    print(json.dumps(figures, indent=1), flush=True)
    return figures


def copy_project(root: Path) -> Path:
    """A home of launch.py where a question can be added."""
    shutil.copy(ROOT / "launch.py", root)
    for folder in ("conf", "sweeps"):
        shutil.copytree(ROOT / folder, root / folder)
    return root


def environment() -> dict[str, str]:
    """One thread; the package from where the bench stands."""
    return os.environ | SINGLE | {"PYTHONPATH": str(ROOT / "src")}


def time_command(command: Sequence[str], home: Path) -> tuple[float, float]:
    """(wall, processor) seconds of a command and all that it started."""
    began, used = time.perf_counter(), children()
    done = subprocess.run(
        command, cwd=home, env=environment(), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)[:200]} failed:\n{done.stderr[-2000:]}")
    return time.perf_counter() - began, children() - used


def children() -> float:
    """Processor seconds of all children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def first_steps(home: Path, rounds: int) -> list[tuple[float, float]]:
    """From Enter to the first step done, every artefact built by a run before."""
    given = [sys.executable, str(home / "launch.py"), *NANO, f"root={home}"]
    time_command([*given, "seed=1"], home)
    return [first_step([*given, f"seed={2 + number}"], home) for number in range(rounds)]


def first_step(command: Sequence[str], home: Path) -> tuple[float, float]:
    """(wall, processor) seconds until a run says that it has taken a step; then ends it."""
    seed = command[-1].replace("=", "")
    began = time.perf_counter()
    with subprocess.Popen(
        command, cwd=home, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            while not has_stepped(home, seed):
                if process.poll() is not None:
                    raise RuntimeError(f"{' '.join(command)} took no step")
                time.sleep(0.01)
            return time.perf_counter() - began, tree(process.pid)
        finally:
            process.terminate()


def has_stepped(home: Path, seed: str) -> bool:
    """Whether the run's status tells of a step."""
    for path in home.glob(f"runs/nano/runs/{seed}-*/status.json"):
        if json.loads(path.read_text(encoding="utf-8")).get("step"):
            return True
    return False


def tree(pid: int) -> float:
    """Processor seconds so far of a process and of all below it, those that ended included."""
    import psutil

    process = psutil.Process(pid)
    used = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    return sum(t.user + t.system + t.children_user + t.children_system for t in used)


def summarize_clocks(name: str, samples: Sequence[tuple[float, float]]) -> dict[str, float]:
    """Medians of both clocks."""
    wall, processor = zip(*samples, strict=True)
    return {f"{name}_s": statistics.median(wall), f"{name}_cpu_s": statistics.median(processor)}
