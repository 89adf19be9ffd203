"""Does a sweep survive the night on a real SLURM, and what does submitting cost?

    python -m tests.bench.cluster [--quick] [--only plan|sweep|disturbed]

plan: 100, 200 and 300 arms x 3 seeds (10 and 20 with --quick) composed, checked, frozen, printed
    (dry run) and submitted (held), with the share of each part.
sweep: the nine nano runs through cluster=local and cluster=slurm, bit for bit (with --quick one of
    ten steps, its data taken from the first: the cluster builds its student, trains and reports).
disturbed: one run preempted, requeued, killed, met by its time limit, and with slurmd stopped and
    started; each against one left alone (none).

The last line is one JSON object.
"""

# ruff: noqa: T201 - a bench speaks on the terminal
import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from tests.bench.submitting import ROOT
from tests.slurm.mini import MiniSlurm, explain_absence, wait_for
from tests.slurm.study import TINY, Launcher, evidence, read, runs

PARTS = ("plan", "sweep", "disturbed")
COMPOSE_S = 0.15
"""Processor seconds an arm may take to compose."""
EXPONENT = 1.15
"""Of the processor time, less the check's child, in the number of arms; 1 is linear."""
SFT = (*TINY[:-2], "arm=sft", "references=false", "train.eval_steps=60", "train.save_steps=30")
LONG = (*SFT, "budget.total_tokens=122880")
"""120 steps."""


def main() -> int:
    """Measures, prints, and says whether every bound holds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", choices=PARTS)
    arguments = parser.parse_args()
    if why := explain_absence():
        print(json.dumps({"name": "cluster", "figures": {}, "bounds": {"slurm": why}, "ok": False}))
        return 1
    place = Path(tempfile.mkdtemp(prefix="bench-cluster-"))
    mini = MiniSlurm(place / "slurm")
    mini.folder.mkdir()
    place.chmod(0o755)
    figures: dict[str, Any] = {}
    bounds: dict[str, bool] = {}
    try:
        mini.start()
        parts = PARTS if arguments.only is None else (arguments.only,)
        for part_figures, held in measure(mini, place, parts, arguments.quick):
            figures |= part_figures
            bounds |= held
            print(json.dumps(part_figures, indent=1), flush=True)
    finally:
        mini.stop()
        shutil.rmtree(place)
    ok = all(bounds.values())
    print(json.dumps({"name": "cluster", "figures": figures, "bounds": bounds, "ok": ok}))
    return 0 if ok else 1


FiguresAndBounds = tuple[dict[str, Any], dict[str, bool]]


def measure(
    mini: MiniSlurm, place: Path, parts: Sequence[str], quick: bool
) -> Iterator[FiguresAndBounds]:
    """One part after the other; in a hurry plans are made beside the runs on this machine."""
    if not quick or "plan" not in parts:
        yield from (MEASURES[part](mini, place / part, quick) for part in parts)
        return
    with ThreadPoolExecutor(1) as pool:
        planned = pool.submit(plan, mini, place / "plan", quick)
        rest = [part for part in parts if part != "plan"]
        if "sweep" in rest:
            yield sweep(mini, place / "sweep", quick, before_slurm=planned.result)
        yield planned.result()
        yield from (MEASURES[part](mini, place / part, quick) for part in rest if part != "sweep")


def plan(mini: MiniSlurm, place: Path, quick: bool) -> FiguresAndBounds:
    """Seconds of each part of submitting, by number of arms; each size in a process of its own."""
    sizes = (10, 20) if quick else (100, 200, 300)
    timings = {}
    for arms in sizes:
        root = place / str(arms)
        root.mkdir(parents=True)
        done = subprocess.run(
            [sys.executable, "-m", "tests.bench.submitting", str(arms), str(root)],
            cwd=ROOT, env=mini.environment() | {"PYTHONPATH": "src"}, text=True,
            capture_output=True, check=True,
        )  # fmt: skip
        timings[arms] = json.loads(done.stdout.splitlines()[-1])
        mini.call("scancel", "--user=root")
    last = timings[sizes[-1]]
    # The check's child is not in its parent's processor time; wall time counts other programs too.
    parts = last["processor_s"] | {"check": last["seconds"]["check"]}
    total = [sum((timings[arms]["processor_s"] | {"check": 0.0}).values()) for arms in sizes]
    whole = sum(parts.values())
    slope = float(np.polyfit(np.log(sizes), np.log(total), 1)[0])
    figures = {
        "arms": sizes[-1],
        "jobs": last["jobs"],
        "compose_s_per_arm": parts["compose"] / sizes[-1],
        "wall_s": {str(arms): round(sum(timings[arms]["seconds"].values()), 2) for arms in sizes},
        "wall_compose_s_per_arm": last["seconds"]["compose"] / sizes[-1],
        "processor_s": {str(arms): round(t, 2) for arms, t in zip(sizes, total, strict=True)},
        "share": {part: round(value / whole, 3) for part, value in parts.items()},
        "exponent": slope,
    }
    return figures, {
        f"compose_s_per_arm <= {COMPOSE_S}": figures["compose_s_per_arm"] <= COMPOSE_S,
        f"exponent <= {EXPONENT}": slope <= EXPONENT,
        "no torch while submitting": not any(one["torch"] for one in timings.values()),
        "an arm is composed once": all(timings[arms]["composed"] == arms for arms in sizes),
    }


def sweep(
    mini: MiniSlurm, place: Path, quick: bool, before_slurm: Callable[[], object] = lambda: None
) -> FiguresAndBounds:
    """The sweep on this machine and, once `before_slurm` has come back, on the cluster."""
    launcher = copy(place, mini)
    command = ("-m", "fusion=fixed,similarity,learnable", "seed=42,43,44")
    if quick:
        command = (*SFT, "tasks.limit=1", "tasks.max_gen_toks=8")
        launcher.start_server()
    seconds = {}
    for where in ("local", "slurm"):
        if where == "slurm":
            before_slurm()
        if quick and where == "slurm":
            kept = shutil.ignore_patterns("model-*")
            shutil.copytree(place / "local/artifacts", place / "slurm/artifacts", ignore=kept)
        began = time.monotonic()
        launcher(*command, f"cluster={where}", f"root={place / where}")
        launcher.drain(3600)
        seconds[where] = round(time.monotonic() - began, 1)
    there, here = runs(place / "slurm"), runs(place / "local")
    trained = [one for one, folder in there.items() if (folder / "curves.jsonl").is_file()]
    equal = sum(evidence(there[one]) == evidence(here[one]) for one in trained)
    completed = sum(launcher.state(folder) == "COMPLETED" for folder in there.values())
    before = launcher.jobs()
    launcher(*command, "cluster=slurm", f"root={place / 'slurm'}")
    launcher.stop_server()
    figures = {"runs": len(there), "completed": completed, "trained": len(trained), "equal": equal}
    figures |= {"submitted_again": len(launcher.jobs() - before), "sweep_s": seconds}
    return figures, {
        "all runs completed": completed == len(there),
        "all bits equal": equal == len(trained) > 0,
        "the same command submits nothing": figures["submitted_again"] == 0,
    }


def disturb_runs(mini: MiniSlurm, place: Path, quick: bool) -> FiguresAndBounds:
    """Which disturbances end in the bits of a run left alone, and how often each was requeued."""
    if quick:
        return {"disturbed": {}}, {}
    launcher = copy(place, mini)
    path = launcher.project / "src/kvdistill/status.py"
    before = "        now = time.monotonic()\n"
    assert path.read_text().count(before) == 1
    path.write_text(path.read_text().replace(before, f"        time.sleep(0.5)\n{before}"))
    launcher(*LONG, f"root={place / 'alone'}")
    (alone,) = runs(place / "alone").values()
    figures = {}
    for name, event in EVENTS.items():
        command = (*LONG, "cluster=slurm", f"root={place / name}")
        limit = 2 if name == "time limit" else 60
        launcher(*command, f"cluster.resources.run={{time_min: {limit}}}")
        (folder,) = runs(place / name).values()
        job = read(folder / "training_job.json")["job_id"]
        wait_for(lambda folder=folder: read_step(folder) >= 10, 600)
        event(mini, job)
        finish(mini, folder, job)
        launcher(*command, "cluster.wait=true")
        outcome = {"equal": bits(folder) == bits(alone)}
        figures[name] = outcome | {"requeues": mini.job(job).get("Restarts"), "job": job}
    return {"disturbed": figures}, {
        f"{name} ends in the same bits": outcome["equal"] for name, outcome in figures.items()
    }


def preempt(mini: MiniSlurm, job: str) -> None:
    """A job of a higher partition takes the whole node for a moment."""
    mini.call("sbatch", "--wrap=sleep 2", "--ntasks=2", "--output=/dev/null", "--partition=high")
    wait_for(lambda: mini.job(job)["JobState"] == "PENDING", 120)


def restart_node(mini: MiniSlurm, _: str) -> None:
    """Slurmd is stopped and started again."""
    mini.stop_node()
    time.sleep(5)
    mini.start_node()


EVENTS: dict[str, Callable[[MiniSlurm, str], object]] = {
    "preempted": preempt,
    "requeued": lambda mini, job: mini.call("scontrol", "requeue", job),
    "killed": lambda mini, job: mini.call("scancel", "--signal=KILL", job),
    "time limit": lambda *_: None,
    "node restarted": restart_node,
}


def finish(mini: MiniSlurm, folder: Path, job: str) -> None:
    """Waits until the job has ended, starting it at once whenever it was requeued."""

    def has_ended() -> bool:
        state = mini.job(job)
        if state["JobState"] == "PENDING" and state["Reason"] == "BeginTime":
            with suppress(subprocess.CalledProcessError):
                mini.call("scontrol", "update", f"jobid={job}", "StartTime=now")
        return state["JobState"] not in ("PENDING", "RUNNING", "COMPLETING", "REQUEUED")

    wait_for(has_ended, 1800)


def read_step(folder: Path) -> int:
    """The step a run is at."""
    path = folder / "status.json"
    status = read(path) if path.is_file() else {}
    return int(status.get("step") or 0) if status.get("state") == "running" else 0


def bits(folder: Path) -> tuple[bytes, str]:
    """Weights and scores."""
    results = read(folder / "results.json")
    results.pop("efficiency")
    return (folder / "model/model.safetensors").read_bytes(), json.dumps(results)


def copy(place: Path, mini: MiniSlurm) -> Launcher:
    """A copy of the project to launch from."""
    project = place / "project"
    project.mkdir(parents=True)
    return Launcher.copy_to(project, mini)


MEASURES: dict[str, Callable[[MiniSlurm, Path, bool], FiguresAndBounds]] = {
    "plan": plan,
    "sweep": sweep,
    "disturbed": disturb_runs,
}

if __name__ == "__main__":
    sys.exit(main())
