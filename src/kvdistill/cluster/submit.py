"""Sends a plan's jobs to where the `cluster` group says: one call for every cluster."""

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from kvdistill import status
from kvdistill.cluster import forkserver, job_failures, local, slurm_commands
from kvdistill.cluster.code_snapshot import take_snapshot
from kvdistill.cluster.environment import list_sbatch_defaults
from kvdistill.config.schema import LocalCluster, Slurm, read_group
from kvdistill.console import make_progress
from kvdistill.plan.command_plan import Plan
from kvdistill.plan.graph import Node
from kvdistill.plan.hub_models import check_hub_cache
from kvdistill.plan.run_jobs import TRAINING, is_job_done, list_jobs, locate_jobs

WAIT_S = 5.0
"""Seconds between two looks at jobs that are waited for."""


def submit(
    plan: Plan, nodes: Sequence[Node], folders: Mapping[str, Path], console: Console, report: bool
) -> dict[str, str] | None:
    """Does what is missing; the failed jobs with their reason, None if they are still to come.

    `nodes` are artefacts and runs, each after what it needs; a run may be two jobs. With `report`,
    a cluster also writes the study's report once all have ended.
    """
    settings = read_group("cluster", plan.config["cluster"])
    jobs = list(list_jobs(nodes, settings))
    folders = locate_jobs(jobs, folders)
    if isinstance(settings, LocalCluster):
        forkserver.serve_code(take_snapshot(plan.root, forkserver.find_served_package()))
        return local.run_jobs(jobs, folders, settings)
    missing = [job for job in jobs if not is_job_done(job.name, folders[job.name])]
    if not missing:
        return {}
    if settings.offline:
        check_hub_cache(run.config for run in plan.runs.values())
    return submit_to_slurm(plan, missing, folders, settings, console, report)


def submit_to_slurm(
    plan: Plan,
    missing: Sequence[Node],
    folders: Mapping[str, Path],
    settings: Slurm,
    console: Console,
    report: bool,
) -> dict[str, str] | None:
    """Submits to SLURM, says so, and waits if it is to."""
    from kvdistill.cluster.slurm import Submission  # submitit is slow to import

    submission = Submission(
        plan.root, plan.study, settings, folders, resources_by_node(plan),
        read_group("estimate", plan.config["estimate"]),
    )  # fmt: skip
    if defaults := list_sbatch_defaults(os.environ):
        console.print(
            f"note: {', '.join(defaults)} of this shell would outweigh what the plan asks, and so "
            f"are not handed on; cluster.account, cluster.sbatch and the like say it for all jobs",
            soft_wrap=True,
        )
    submission.submit_missing(missing, plan.config["stats"] if report else None)
    sent, joined = len(submission.submitted), len(submission.ids) - len(submission.submitted)
    console.print(
        f"submitted {sent} jobs, joined {joined} already queued; "
        f"python launch.py stage=status study={plan.study} shows them",
        soft_wrap=True,
    )
    return wait_for_jobs(missing, folders, submission.ids) if settings.wait else None


def resources_by_node(plan: Plan) -> dict[str, Mapping[str, Any]]:
    """Name of a run's node -> what its arm asks of SLURM beyond the cluster's settings."""
    return {run.node.name: run.resources for run in plan.runs.values() if run.resources}


def wait_for_jobs(
    nodes: Sequence[Node], folders: Mapping[str, Path], ids: Mapping[str, str]
) -> dict[str, str]:
    """Stays until none of the jobs is queued any more; the failed ones with their reason."""
    with make_progress() as progress:
        bar = progress.add_task("all jobs", total=len(nodes))
        # Until none is queued, not until all are complete: a failed job never completes.
        while not slurm_commands.read_queue().keys().isdisjoint(ids[node.name] for node in nodes):
            done = sum(is_job_done(node.name, folders[node.name]) for node in nodes)
            running = {
                folder
                for folder in folders.values()
                if status.read_status(folder)["state"] == "running"
            }
            progress.update(bar, completed=done, description=f"{len(running)} running")
            time.sleep(WAIT_S)
    last = [node for node in nodes if node.kind != TRAINING]
    return job_failures.collect_failures({node.name: folders[node.name] for node in last})
