"""What became of jobs that ended without a manifest: one line each, in their status.json."""

from collections.abc import Mapping
from pathlib import Path

from kvdistill import layout, status
from kvdistill.cluster import slurm_commands, slurm_log
from kvdistill.files import is_complete
from kvdistill.plan.frozen_recipe import read_recipe

NOT_STARTED = "not started, "
"""How the reason begins of a job that failed for want of another."""


def collect_failures(folders: Mapping[str, Path]) -> dict[str, str]:
    """Why each of these ended jobs has no result, by name; artefacts come before their readers.

    A job that said so itself is believed; one whose artefact failed has that reason; one killed
    without a word has what SLURM says of it.
    """
    reasons: dict[str, str] = {}
    for name, folder in folders.items():
        if is_complete(folder):
            continue
        job_status = status.read_status(folder)
        needs = read_recipe(folder).needs
        failed_needs = [need for need in needs.values() if need in reasons]
        # Its own word is nearer to the cause than what SLURM says of its end.
        if job_status["state"] == "failed":
            reasons[name] = job_status["error"]
            continue
        if failed_needs:
            reasons[name] = blame_artifact(failed_needs[0], reasons[failed_needs[0]])
        else:
            reasons[name] = explain_lost_job(folder)
        status.StatusWriter(folder).write("failed", error=reasons[name], cause="lost")
    return reasons


def blame_artifact(artifact: str, why: str) -> str:
    """The reason of what would have read an artefact."""
    return f"{NOT_STARTED}{artifact} failed: {why.removeprefix(NOT_STARTED)}"


def explain_lost_job(folder: Path) -> str:
    """The reason of a job that ended without a word."""
    identity = slurm_commands.read_job_record(folder).get("job_id")
    if identity is None:
        return "never submitted. Repeat the command."
    final_state = slurm_commands.read_final_state(identity)
    slurm_state = f" as SLURM's {final_state}" if final_state else ""
    return f"job {identity} ended without a word{slurm_state}; {describe_logs(folder)}"


def describe_logs(folder: Path) -> str:
    """What the log of a job's script says of its end, and where more stands; a full sentence."""
    recorded = slurm_commands.read_job_record(folder).get("log")
    script_log = Path(recorded) if recorded else None
    quoted = slurm_log.find_error(script_log) if script_log else None
    if quoted is not None:
        return f"{script_log} says: {quoted.rstrip('.')}. Mend that, then repeat the command."
    if (folder / layout.LOG).is_file():
        return f"its log is {folder / layout.LOG}. Repeat the command."
    if script_log is not None and script_log.is_file():
        return f"its log is {script_log}. Repeat the command."
    return (
        "it left no log, so its script never began: ask your cluster's staff about the node. "
        "Repeat the command."
    )
