"""stage=cancel: ends a study's SLURM jobs, waiting or running, from its folders alone."""

import time
from pathlib import Path

from kvdistill import layout
from kvdistill.cli.common import JobOverrides, compose_study_config, console, find_study_folder
from kvdistill.cluster import slurm_commands
from kvdistill.cluster.slurm import REPORT
from kvdistill.errors import UserError
from kvdistill.files import is_complete
from kvdistill.plan.find_runs import read_needs
from kvdistill.plan.frozen_recipe import read_recipe
from kvdistill.plan.study_plan import StudyPlan
from kvdistill.status import StatusWriter

CANCELLED_S = 120.0
"""Seconds in which cancelled jobs must have left the queue."""


def cancel_command(job_overrides: JobOverrides, _: Path) -> None:
    """Ends the study's jobs and says how many."""
    config = compose_study_config(job_overrides)
    study = find_study_folder(config)
    ended = cancel_jobs(Path(config["root"]), study)
    console.print(f"cancelled {len(ended)} jobs of study {study.name}")


def cancel_jobs(root: Path, study: Path) -> list[str]:
    """Ends the study's jobs; their ids.

    An artefact that another study's queued run needs is left alone.
    """
    queued = slurm_commands.read_queue()
    plan = StudyPlan.read(study)
    runs = [root / entry.folder for entry in (plan.runs | plan.trials).values()]
    spared = list_needs_of_other_studies(root, set(runs), queued)
    needs = {need.name for folder in runs for need in read_needs(root, read_recipe(folder))}
    folders = [*runs, *(layout.artifact_folder(root, name) for name in sorted(needs - spared))]
    folders = [folder for folder in folders if not is_complete(folder)]
    ids = slurm_commands.find_queued_jobs(folders, queued)
    report = slurm_commands.read_job_record(study / layout.SLURM / REPORT).get("job_id")
    ended = [*ids.values(), *([report] if report in queued else [])]
    slurm_commands.cancel_slurm_jobs(ended)
    wait_until_gone(ended)
    for folder in folders:
        # One that finished while it was being cancelled keeps its result.
        if folder.name in ids and not is_complete(folder):
            StatusWriter(folder).write(
                "failed", error="cancelled by stage=cancel", cause="cancelled"
            )
    return ended


def wait_until_gone(ids: list[str]) -> None:
    """Waits until the jobs have left the queue: a running one still speaks while it ends."""
    end = time.monotonic() + CANCELLED_S
    while not slurm_commands.read_queue().keys().isdisjoint(ids):
        if time.monotonic() > end:
            raise UserError(
                f"{len(ids)} jobs were cancelled, but still run after {CANCELLED_S:.0f} s."
            )
        time.sleep(1)


def list_needs_of_other_studies(
    root: Path, own: set[Path], queued: dict[str, slurm_commands.QueuedJob]
) -> set[str]:
    """Names of the artefacts that queued runs of other studies read."""
    names = ("*", f"{layout.TRIAL}*")
    others = [path.parent for name in names for path in layout.glob_runs(root, name, layout.JOB)]
    queued_names = slurm_commands.find_queued_jobs(
        (folder for folder in others if folder not in own), queued
    )
    return {
        need.name
        for folder in others
        if folder.name in queued_names
        for need in read_needs(root, read_recipe(folder))
    }
