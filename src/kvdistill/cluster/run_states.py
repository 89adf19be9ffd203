"""Where every run of a study is, from its folder first and from SLURM second."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kvdistill import status
from kvdistill.cluster import job_failures, slurm_commands
from kvdistill.console import say
from kvdistill.errors import UserError
from kvdistill.files import read_json
from kvdistill.plan.frozen_recipe import read_recipe

SILENT_S = 120.0
"""A running job without a heartbeat for so long is called silent."""

ALIVE = ("queued", "starting", "running", "silent")


@dataclass(frozen=True)
class Line:
    """One run; None where there is nothing to say."""

    run: str
    label: str
    seed: int
    state: str
    """planned, queued, starting, running, silent (no heartbeat), lost, failed, done."""
    step: int | None = None
    steps: int | None = None
    steps_per_s: float | None = None
    eta_s: float | None = None
    heartbeat_s: float | None = None
    """Age."""
    requeues: int = 0
    retries: int = 0
    job: str | None = None
    why: str = ""


def look(root: Path, study: Path) -> Iterator[Line]:
    """Every run of the plan, in its order."""
    plan = read_json(study / "plan.json")
    labels = {
        identity: label
        for question in plan["questions"].values()
        for label, seeds in question["arms"].items()
        for identity in seeds.values()
    } | {identity: f"reference {name}" for name, identity in plan.get("references", {}).items()}
    entries = plan["runs"]
    queued = queue([root / entry["folder"] for entry in entries.values()])
    for identity, entry in entries.items():
        folder = root / entry["folder"]
        label = labels.get(identity, entry["arm"])
        yield line(identity, label, int(entry["seed"]), folder, root, queued)


def queue(folders: Sequence[Path]) -> Mapping[str, slurm_commands.Queued] | None:
    """What is queued; None where no run went to SLURM, or it cannot be asked from here."""
    if not any(slurm_commands.recorded(folder) for folder in folders):
        return None
    try:
        return slurm_commands.queue()
    except UserError as error:
        say(f"note: {error} Shown is what the run folders say.")
        return None


def line(
    identity: str, label: str, seed: int, folder: Path, root: Path,
    queued: Mapping[str, slurm_commands.Queued] | None,
) -> Line:  # fmt: skip
    """One run, as its folder and the queue say it."""
    said = status.read(folder)
    job = slurm_commands.recorded(folder).get("job_id")
    age = time.time() - said["heartbeat"] if "heartbeat" in said else None
    state, why = state_of(folder, root, said, job, age, queued)
    return Line(
        run=identity,
        label=label,
        seed=seed,
        state=state,
        step=said.get("step"),
        steps=said.get("steps"),
        steps_per_s=said.get("steps_per_s"),
        eta_s=said.get("eta_s"),
        heartbeat_s=age,
        requeues=said.get("requeues", 0),
        retries=said.get("retries", 0),
        job=job,
        why=why,
    )


def state_of(
    folder: Path, root: Path, said: Mapping[str, Any], job: str | None, age: float | None,
    queued: Mapping[str, slurm_commands.Queued] | None,
) -> tuple[str, str]:  # fmt: skip
    """The state and, where there is one, its reason."""
    state = said["state"]
    if state == "done":
        return "done", ""
    if queued is not None and job is not None and job in queued:
        return in_queue(state, queued[job], age)
    if state == "failed":
        return "failed", said["error"]
    if state == "missing":
        return "planned", ""
    if queued is not None and job is not None:
        return "lost", lost(folder, root, queued)
    silent = state == "running" and age is not None and age > SILENT_S
    return ("silent", f"no heartbeat for {age:.0f} s") if silent else (state, "")


def in_queue(state: str, job: slurm_commands.Queued, age: float | None) -> tuple[str, str]:
    """Of a job that has not ended."""
    if job.state != "RUNNING":
        return "queued", "" if job.reason == "None" else f"{job.state.lower()}: {job.reason}"
    if state != "running":
        return "starting", ""
    if age is not None and age > SILENT_S:
        return "silent", f"no heartbeat for {age:.0f} s"
    return "running", ""


def lost(folder: Path, root: Path, queued: Mapping[str, slurm_commands.Queued]) -> str:
    """Why a job that left the queue has no result: an artefact's failure, or what SLURM says."""
    needs = read_recipe(folder).needs
    for name in needs.values():
        place = root / "artifacts" / name
        said = status.read(place)
        if said["state"] == "failed":
            return job_failures.because(name, said["error"])
        job = slurm_commands.recorded(place).get("job_id")
        if said["state"] != "done" and job is not None and job not in queued:
            return job_failures.because(name, job_failures.vanished(place))
    return job_failures.vanished(folder)
