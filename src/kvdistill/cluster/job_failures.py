"""What became of jobs that ended without a manifest: one line each, in their status.json."""

from collections.abc import Mapping
from pathlib import Path

from kvdistill import status
from kvdistill.cluster import slurm_commands
from kvdistill.files import is_complete
from kvdistill.plan.frozen_recipe import read_recipe

NOT_STARTED = "not started, "
"""How the reason begins of a job that failed for want of another."""


def settle(folders: Mapping[str, Path]) -> dict[str, str]:
    """Why each of these ended jobs has no result, by name; artefacts come before their readers.

    A job that said so itself is believed; one whose artefact failed has that reason; one killed
    without a word has what SLURM says of it.
    """
    lost: dict[str, str] = {}
    for name, folder in folders.items():
        if is_complete(folder):
            continue
        said = status.read(folder)
        needs = read_recipe(folder).needs
        broken = [need for need in needs.values() if need in lost]
        if said["state"] == "failed":
            lost[name] = said["error"]
            continue
        if broken:
            lost[name] = because(broken[0], lost[broken[0]])
        else:
            lost[name] = vanished(folder)
        status.Status(folder).write("failed", error=lost[name], cause="lost")
    return lost


def because(artifact: str, why: str) -> str:
    """The reason of what would have read an artefact."""
    return f"{NOT_STARTED}{artifact} failed: {why.removeprefix(NOT_STARTED)}"


def vanished(folder: Path) -> str:
    """The reason of a job that ended without a word."""
    identity = slurm_commands.recorded(folder).get("job_id")
    if identity is None:
        return "never submitted. Repeat the command."
    how = slurm_commands.ended(identity)
    told = f" as SLURM's {how}" if how else ""
    return f"job {identity} ended without a word{told}; its log is log.txt. Repeat the command."
