"""What SLURM says of jobs, and what is asked of it beside submitting: SLURM's own commands."""

import os
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kvdistill import layout
from kvdistill.cluster.environment import leave_allocation
from kvdistill.errors import UserError
from kvdistill.files import read_json, write_json
from kvdistill.plan.run_jobs import is_job_done, name_training
from kvdistill.records import SCHEMA_VERSION


@dataclass(frozen=True)
class QueuedJob:
    """A job that has not ended."""

    state: str
    """PENDING, RUNNING, ..., as squeue says it."""
    reason: str


def call_slurm(*command: str) -> str:
    """What a command prints. Raises UserError with its complaint.

    A shell's own defaults (SQUEUE_STATES, ...) would hide jobs, so they are not handed on.
    """
    environment = leave_allocation(os.environ)
    try:
        process = subprocess.run(
            command, capture_output=True, text=True, check=False, env=environment
        )
    except FileNotFoundError as error:
        raise UserError(
            f"cluster=slurm needs SLURM's commands, and {command[0]} is not on the path. "
            "Submit from a login node, or use cluster=local."
        ) from error
    if process.returncode != 0:
        raise UserError(f"{command[0]} failed: {' '.join(process.stderr.split())}")
    return process.stdout


def read_queue() -> dict[str, QueuedJob]:
    """Job id (of an array's task: ARRAY_TASK) -> its state, of all jobs of this user."""
    text = call_slurm(
        "squeue", "--noheader", "--array", "--format=%i|%T|%r", f"--user={os.getuid()}"
    )
    # A reason may hold a | of its own.
    rows = (line.strip().split("|", 2) for line in text.splitlines() if line.strip())
    return {identity: QueuedJob(state, reason) for identity, state, reason in rows}


def read_final_state(identity: str) -> str | None:
    """How a job ended that is no longer queued (TIMEOUT, NODE_FAIL, ...); None if SLURM forgot.

    Asks the accounting, and where there is none the controller, which remembers for a while.
    """
    try:
        text = call_slurm("sacct", "-j", identity, "-X", "--noheader", "--parsable2", "-o", "State")
    except UserError:
        text = ""
    if text.strip():
        return text.split()[0]
    try:
        text = call_slurm("scontrol", "--oneliner", "show", "job", identity)
    except UserError:
        return None
    fields = dict(part.split("=", 1) for part in text.split() if "=" in part)
    return fields.get("JobState")


def cancel_slurm_jobs(identities: Sequence[str]) -> None:
    """Ends jobs, waiting or running."""
    if identities:
        call_slurm("scancel", *identities)


def write_job_record(folder: Path, identity: str, *, training: bool = False, **facts: Any) -> None:
    """Writes beside a job's config which SLURM job does it; or which one trains what it scores."""
    record = {"schema_version": SCHEMA_VERSION, "job_id": identity, **facts}
    write_json(folder / (layout.TRAINING_JOB if training else layout.JOB), record)


def read_job_record(folder: Path) -> dict[str, Any]:
    """What was recorded of the job that works, or worked last; nothing if none was submitted.

    Of a run with two jobs that is the one that trains, until it has.
    """
    is_training = (folder / layout.TRAINING_JOB).is_file() and not is_job_done(
        name_training(folder.name), folder
    )
    path = folder / (layout.TRAINING_JOB if is_training else layout.JOB)
    facts: dict[str, Any] = read_json(path) if path.is_file() else {}
    return facts


def find_queued_jobs(folders: Iterable[Path], queued: Mapping[str, QueuedJob]) -> dict[str, str]:
    """Name of each job that is queued or running for one of the folders -> its id."""
    ids: dict[str, str] = {}
    for folder in folders:
        names = {layout.JOB: folder.name, layout.TRAINING_JOB: name_training(folder.name)}
        for file, name in names.items():
            path = folder / file
            identity = read_json(path).get("job_id") if path.is_file() else ""
            if identity in queued:
                ids[name] = identity
    return ids
