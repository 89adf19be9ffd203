"""Where every run of a study is, from its folder first and from SLURM second."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kvdistill import layout, status
from kvdistill.cluster import job_failures, slurm_commands
from kvdistill.console import write_stderr
from kvdistill.errors import ArtifactError, UserError
from kvdistill.plan.frozen_recipe import read_recipe
from kvdistill.plan.study_plan import StudyPlan, Withdrawal

SILENT_S = 120.0
"""A running job without a heartbeat for so long is called silent."""

LAST_BYTES = 2**16
"""Of a curves.jsonl, in which its last training line is looked for."""
ALIVE = ("queued", "starting", "running", "silent", "trained")


@dataclass(frozen=True)
class RunState:
    """One run; None where there is nothing to say."""

    run: str
    label: str
    seed: int | None
    """None of a shared artefact, which is shown as runs are."""
    state: str
    """planned, queued, starting, running, silent (no heartbeat), trained (its evaluation is still
    to come), stopped (told to end, or its process on this machine has ended), lost, failed, done;
    gone where there is no folder, unreadable where what lies in it is cut or altered; withdrawn."""
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
    phase: str = ""
    """What it is at beside its steps, and how far."""
    tokens_per_s: float | None = None
    """Real tokens of a process, as its last training line has them."""
    mfu: float | None = None
    """A share; None also where the device's peak is not known."""
    peak_bytes: int | None = None
    """Most memory of a process so far."""
    foretold_bytes: int | None = None
    """What the plan reckoned it to be."""


def read_run_states(root: Path, study: Path) -> Iterator[RunState]:
    """Every run of the plan, in its order, and every trial behind them."""
    plan = StudyPlan.read(study)
    yield from read_planned_states(root, plan, read_plan_queue(root, plan))


def read_plan_queue(root: Path, plan: StudyPlan) -> Mapping[str, slurm_commands.QueuedJob] | None:
    """What is queued, if any run of the plan went to SLURM; else None."""
    entries = (plan.runs | plan.trials).values()
    return read_queue_if_submitted([root / entry.folder for entry in entries])


def read_planned_states(
    root: Path, plan: StudyPlan, queued: Mapping[str, slurm_commands.QueuedJob] | None
) -> Iterator[RunState]:
    """The same of a plan that is read, and of a queue."""
    # A teacher that is also an arm of a question goes by its label there.
    labels = plan.reference_names() | plan.labels() | plan.name_trials()
    withdrawals = plan.list_withdrawn_runs()
    for identity, entry in (plan.runs | plan.trials).items():
        withdrawal = withdrawals.get(identity)
        label = withdrawal.label if withdrawal else labels.get(identity, entry.arm)
        folder = root / entry.folder
        try:
            line = read_run_state(identity, label, entry.seed, folder, root, queued)
        except ArtifactError as error:  # one folder that was cut or edited hides no other
            line = RunState(identity, label, entry.seed, "unreadable", why=str(error))
        line = replace(line, foretold_bytes=entry.foretold.get("peak_bytes"))
        yield line if withdrawal is None else mark_withdrawn(line, withdrawal)


def mark_withdrawn(line: RunState, withdrawal: Withdrawal) -> RunState:
    """The line of a run that no question reads; a job of it that is still alive stays named."""
    job = f"; its job is {line.state}" if line.state in ALIVE else ""
    return replace(line, state="withdrawn", why=f"{withdrawal.reason}{job}")


def read_queue_if_submitted(
    folders: Sequence[Path],
) -> Mapping[str, slurm_commands.QueuedJob] | None:
    """What is queued; None where no run went to SLURM, or it cannot be asked from here."""
    if not any((folder / layout.JOB).is_file() for folder in folders):
        return None
    try:
        return slurm_commands.read_queue()
    except UserError as error:
        write_stderr(f"note: {error} Shown is what the run folders say.")
        return None


def read_run_state(
    identity: str, label: str, seed: int | None, folder: Path, root: Path,
    queued: Mapping[str, slurm_commands.QueuedJob] | None,
) -> RunState:  # fmt: skip
    """One run, as its folder and the queue say it. Raises ArtifactError for a broken file."""
    if not folder.is_dir():
        why = f"{folder} was deleted or renamed. Repeat the command that made it."
        return RunState(identity, label, seed, "gone", why=why)
    job_status = status.read_status(folder)
    job = slurm_commands.read_job_record(folder).get("job_id")
    age = time.time() - job_status["heartbeat"] if "heartbeat" in job_status else None
    state, why = decide_state(folder, root, job_status, job, age, queued)
    return RunState(
        run=identity,
        label=label,
        seed=seed,
        state=state,
        step=job_status.get("step"),
        steps=job_status.get("steps"),
        steps_per_s=job_status.get("steps_per_s"),
        eta_s=job_status.get("eta_s"),
        heartbeat_s=age,
        requeues=job_status.get("requeues", 0),
        retries=job_status.get("retries", 0),
        job=job,
        why=why,
        phase=status.format_phase(job_status) if state in ALIVE else "",
        **read_last_speed(folder),
    )


def read_last_speed(folder: Path) -> dict[str, Any]:
    """tokens_per_s, mfu and peak_bytes of the last training line; empty where there is none."""
    path = folder / layout.CURVES
    if not path.is_file():
        return {}
    with path.open("rb") as file:
        # A study has hundreds of runs, and each thousands of lines.
        file.seek(max(0, path.stat().st_size - LAST_BYTES))
        lines = file.read().splitlines()
    for line in reversed(lines):
        try:
            speed = json.loads(line).get("speed")
        except ValueError:  # the first may be cut by us, the last is being written
            continue
        if speed:
            return {name: speed.get(name) for name in ("tokens_per_s", "mfu", "peak_bytes")}
    return {}


def decide_state(
    folder: Path, root: Path, job_status: Mapping[str, Any], job: str | None, age: float | None,
    queued: Mapping[str, slurm_commands.QueuedJob] | None,
) -> tuple[str, str]:  # fmt: skip
    """The state and, where there is one, its reason."""
    state = job_status["state"]
    if state == "done":
        return "done", ""
    # The queue knows better than a status that a killed process could not write.
    if queued is not None and job is not None and job in queued:
        return state_in_queue(state, queued[job], age)
    if state == "failed":
        return "failed", job_status["error"]
    if state == "missing":
        return "planned", ""
    if queued is not None and job is not None:
        return "lost", explain_lost_run(folder, root, queued)
    if state == status.STOPPED:
        return state, "told to end. Repeat the command: a training goes on where it stopped."
    if state == "running" and job is None and status.is_process_gone(job_status):
        return "stopped", "its process has ended. Repeat the command."
    silent = state == "running" and age is not None and age > SILENT_S
    return ("silent", f"no heartbeat for {age:.0f} s") if silent else (state, "")


def state_in_queue(state: str, job: slurm_commands.QueuedJob, age: float | None) -> tuple[str, str]:
    """Of a job that has not ended."""
    if job.state != "RUNNING":
        return "queued", "" if job.reason == "None" else f"{job.state.lower()}: {job.reason}"
    if state != "running":
        return "starting", ""
    if age is not None and age > SILENT_S:
        return "silent", f"no heartbeat for {age:.0f} s"
    return "running", ""


def explain_lost_run(
    folder: Path, root: Path, queued: Mapping[str, slurm_commands.QueuedJob]
) -> str:
    """Why a job that left the queue has no result: an artefact's failure, or what SLURM says."""
    needs = read_recipe(folder).needs
    for name in needs.values():
        artifact = layout.artifact_folder(root, name)
        artifact_status = status.read_status(artifact)
        if artifact_status["state"] == "failed":
            return job_failures.blame_artifact(name, artifact_status["error"])
        job = slurm_commands.read_job_record(artifact).get("job_id")
        if artifact_status["state"] != "done" and job is not None and job not in queued:
            return job_failures.blame_artifact(name, job_failures.explain_lost_job(artifact))
    return job_failures.explain_lost_job(folder)
