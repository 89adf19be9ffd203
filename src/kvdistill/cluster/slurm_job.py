"""What a SLURM job calls on its node."""

import os
import signal
import sys
from pathlib import Path
from typing import Any

import submitit
from submitit.core.utils import UncompletedJobError
from submitit.helpers import Checkpointable, TorchDistributedEnvironment

from kvdistill import preemption, status
from kvdistill.cluster import job_failures
from kvdistill.garbage import keep_imports
from kvdistill.jobs.__main__ import main as do_job
from kvdistill.jobs.log import redirect_output
from kvdistill.status import StatusWriter


class SlurmJob(Checkpointable):
    """Builds the artefact, or does the run, of a folder; the job's exit code is the work's.

    Told to make room, it saves and queues itself again through submitit's own handler.
    """

    def __init__(self, max_retries: int, kind: str) -> None:
        self.max_retries = max_retries
        self.kind = kind
        """Of plan/run_jobs.py: a run's job may do a part of it."""

    def __call__(self, folder: str) -> None:
        """Exits with 0 done, 2 a bad setting, 1 anything else."""
        place = submitit.JobEnvironment()
        preemption_signal = signal.Signals[f"SIG{place.USR_SIG}"]
        requeue = signal.getsignal(preemption_signal)
        assert callable(requeue)
        preemption.install_handler(preemption_signal)
        try:
            code = self.do_work(Path(folder), place)
        except preemption.Preempted:
            code = None
        if code is None or self.may_retry(Path(folder), code):
            try:
                requeue(preemption_signal, None)  # rank 0 does, and exits
            except UncompletedJobError as error:
                record_timeout(Path(folder), error)
                raise
        sys.exit(code or 0)

    def do_work(self, folder: Path, place: submitit.JobEnvironment) -> int:
        """The job itself; its exit code."""
        if place.num_tasks > 1:
            # Every rank sees all GPUs of its node and takes its own by its local rank.
            TorchDistributedEnvironment().export(set_cuda_visible_devices=False)
        if place.global_rank == 0:
            redirect_output(folder)
            # The job that trained the same run has counted its own.
            before = status.read_status(folder).get("requeues", 0)
            restarts = int(os.environ.get("SLURM_RESTART_COUNT", 0))
            record_counts(folder, requeues=max(before, restarts))
        return do_job(folder, self.kind)

    def may_retry(self, folder: Path, code: int) -> bool:
        """Whether a failure may be the node's, and was not tried too often; counts the try."""
        job_status = status.read_status(folder)
        if code == 0 or job_status.get("cause") != "node":
            return False
        tried = job_status.get("retries", 0)
        if tried < self.max_retries and submitit.JobEnvironment().global_rank == 0:
            print(f"{job_status['error']}: trying again", flush=True)  # noqa: T201 - the job's log
            record_counts(folder, retries=tried + 1)
        return bool(tried < self.max_retries)


class SlurmReportJob(Checkpointable):
    """Writes a study's report once all its jobs have ended, whatever became of them."""

    def __call__(self, root: str, study: str, stats: dict[str, Any], nodes: dict[str, str]) -> None:
        """`nodes`: name -> folder of the jobs that this report waited for."""
        # pandas and matplotlib are slow to import, and no other job of the cluster needs them here.
        with keep_imports():
            from kvdistill.report import study_report

        lost = job_failures.collect_failures({name: Path(folder) for name, folder in nodes.items()})
        study_report.write_study_report(Path(root), Path(study), stats)
        for name, why in lost.items():
            print(f"missing: {name}: {why}", flush=True)  # noqa: T201 - a job's log


def record_counts(folder: Path, **counts: int) -> None:
    """Keeps counts in the job's status, which every later process of the job takes over."""
    status = StatusWriter(folder)
    status.counts |= counts
    status.write("queued")


def record_timeout(folder: Path, error: UncompletedJobError) -> None:
    """Records that the job will not be queued again."""
    line = f"{error} Raise cluster.time_min or cluster.max_timeouts, then repeat the command."
    StatusWriter(folder).write("failed", error=" ".join(line.split()), cause="time")
