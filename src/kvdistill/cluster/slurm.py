"""Submits a plan's jobs to SLURM, each once, with what each waits for; then returns.

submitit writes the sbatch script and carries the call to the node; each job is the call of
`Work` on a folder whose config.yaml is frozen, with the code of a snapshot.
"""

import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import submitit
from filelock import FileLock
from submitit.core.utils import FailedJobError, FailedSubmissionError

from kvdistill import layout
from kvdistill.cluster import code_snapshot, slurm_commands
from kvdistill.cluster.environment import leave_allocation_for_sbatch, slurm_environment
from kvdistill.cluster.slurm_arrays import (
    JobArray,
    JobRequest,
    group_into_arrays,
    make_array_dependency,
    make_dependency,
    request_resources,
)
from kvdistill.cluster.slurm_job import SlurmJob, SlurmReportJob
from kvdistill.config.sbatch_options import list_stated_settings, parse_sbatch_option
from kvdistill.config.schema import Estimate, Slurm
from kvdistill.errors import ConfigError, UserError
from kvdistill.plan.graph import Node
from kvdistill.plan.run_jobs import TRAINING, is_job_done
from kvdistill.status import StatusWriter

OPTIONS = ("partition", "account", "qos", "constraint")
REPORT = "report"


@dataclass
class Submission:
    """One command's jobs on their way to SLURM."""

    root: Path
    study: str
    settings: Slurm
    folders: Mapping[str, Path]
    """By name of job: both jobs of a run have the run's."""
    resources_by_node: Mapping[str, Mapping[str, Any]]
    """Node name -> its arm's own resources."""
    estimate: Estimate
    """Where jobs compute, for what they ask by default."""
    ids: dict[str, str] = field(default_factory=dict)
    """Node name -> id of the job that does it, submitted now or found in the queue."""
    submitted: list[str] = field(default_factory=list)

    @property
    def study_folder(self) -> Path:
        """runs/STUDY, absolute: jobs start in it knowing nothing of this process."""
        return layout.study_folder(self.root, self.study).resolve()

    def submit_missing(self, nodes: Sequence[Node], report: Mapping[str, Any] | None) -> None:
        """Submits what neither stands nor is queued. `report`: the stats settings of the report.

        One command at a time under a root, so that two asking for the same submit it once.
        """
        # Between looking at the queue and submitting, another command must not submit the same.
        with FileLock(self.root / ".submit.lock"):
            # Asked once: every squeue costs the controller, and a sweep has hundreds of jobs.
            queued = slurm_commands.read_queue()
            unfinished = [
                node for node in nodes if not is_job_done(node.name, self.folders[node.name])
            ]
            self.ids |= find_jobs_at_work(unfinished, self.folders, queued)
            todo = [node for node in unfinished if node.name not in self.ids]
            code = code_snapshot.take_snapshot(self.root) if todo else None
            for batch in self.list_arrays(unfinished, todo):
                assert code is not None
                self.submit_array(batch, code)
            if report is not None and self.ids:
                self.submit_report(unfinished, report, queued)

    def list_arrays(self, unfinished: Sequence[Node], todo: Sequence[Node]) -> list[JobArray]:
        """The arrays to submit, in order."""
        awaited = {node.name for node in unfinished}
        return list(
            group_into_arrays(todo, self.settings, self.resources_by_node, awaited, self.estimate)
        )

    def submit_array(self, batch: JobArray, code: Path) -> None:
        """Submits one array and records its ids in the jobs' folders."""
        after = make_array_dependency(batch, self.ids)
        executor = self.make_executor_for(batch.nodes[0].kind, batch.request, after, code)
        folders = [self.folders[node.name].resolve() for node in batch.nodes]
        is_training = batch.nodes[0].kind == TRAINING
        for node, folder in zip(batch.nodes, folders, strict=True):
            # The training of these was submitted before them, and may be writing its status.
            if node.needs.get(TRAINING) in batch.after:
                continue
            # Before sbatch: a job may start, and write its own status, before map_array has
            # returned.
            reset_status(folder).write("queued")
            (folder / layout.TRAINING_JOB).unlink(missing_ok=True)
        work = SlurmJob(self.settings.max_retries, batch.nodes[0].kind)
        try:
            with leave_allocation_for_sbatch():
                jobs = executor.map_array(work, [str(folder) for folder in folders])
        except (FailedJobError, FailedSubmissionError) as error:
            line = f"sbatch refused {batch.nodes[0].name}: {' '.join(str(error).split())}"
            for folder in folders:
                reset_status(folder).write("failed", error=line, cause="config")
            raise UserError(line) from error
        for node, folder, job in zip(batch.nodes, folders, jobs, strict=True):
            self.ids[node.name] = job.job_id
            self.submitted.append(node.name)
            facts = {"study": self.study, "log": str(job.paths.stdout), "code": code.name}
            slurm_commands.write_job_record(
                folder, job.job_id, training=is_training, submitted=time.time(), **facts
            )

    def submit_report(
        self, nodes: Sequence[Node], stats: Mapping[str, Any], queued: Mapping[str, Any]
    ) -> None:
        """Submits the report, after all these jobs whatever becomes of them."""
        place = self.study_folder / layout.SLURM / REPORT
        if not self.submitted and slurm_commands.read_job_record(place).get("job_id") in queued:
            return
        request = request_resources(self.settings, REPORT)
        code = code_snapshot.take_snapshot(self.root)
        after = make_afterany_dependency([self.ids[node.name] for node in nodes])
        executor = self.make_executor_for(REPORT, request, after, code)
        # What both jobs of a run leave is told of the run.
        last = [node for node in nodes if node.kind != TRAINING]
        names = {node.name: str(self.folders[node.name].resolve()) for node in last}
        with leave_allocation_for_sbatch():
            job = executor.submit(
                SlurmReportJob(), str(self.root.resolve()), str(self.study_folder), dict(stats),
                names,
            )  # fmt: skip
        slurm_commands.write_job_record(
            place, job.job_id, log=str(job.paths.stdout), submitted=time.time()
        )

    def make_executor_for(
        self, kind: str, request: JobRequest, after: str | None, code: Path
    ) -> submitit.Executor:
        """Submitit's executor for jobs of one kind."""
        folder = self.study_folder / layout.SLURM
        return make_executor(
            folder, f"kvdistill-{self.study}-{kind}", self.settings, request, after, code
        )


def find_jobs_at_work(
    jobs: Sequence[Node], folders: Mapping[str, Path],
    queued: Mapping[str, slurm_commands.QueuedJob],
) -> dict[str, str]:  # fmt: skip
    """Name -> id of each of these jobs that is queued already, or whose work one that is will do.

    A run's own job that nothing trains for does all of the run.
    """
    ids = slurm_commands.find_queued_jobs((folders[job.name] for job in jobs), queued)
    for job in jobs:
        if job.kind == TRAINING and job.name not in ids and folders[job.name].name in ids:
            ids[job.name] = ids[folders[job.name].name]
    return {job.name: ids[job.name] for job in jobs if job.name in ids}


def make_executor(
    folder: Path, name: str, settings: Slurm, request: JobRequest, after: str | None, code: Path,
    kind: type[submitit.SlurmExecutor] = submitit.SlurmExecutor,
) -> submitit.SlurmExecutor:  # fmt: skip
    """An executor that writes this script; every value of it is quoted by submitit or here.

    Raises ConfigError for a folder that SLURM would read otherwise than it stands.
    """
    if "%" in str(folder) or not str(folder).isprintable():
        raise ConfigError(
            f"root: {str(folder)!r} must be printable and without %, which SLURM replaces in the "
            f"names of its logs. Use another root."
        )
    resources = request.resources
    python = settings.python or sys.executable
    executor = kind(
        folder=folder,
        max_num_timeout=settings.max_timeouts,
        python=shlex.join([*settings.container, python]),
    )
    threads = settings.threads or request.cpus
    exports = slurm_environment(code, threads, settings.offline)
    defaults: dict[str, Any] = {}
    # An option of the site's own stands in for what would be asked by default.
    stated = list_stated_settings(resources.sbatch)
    if request.node_mem_gb and "mem_gb" not in stated:
        defaults["mem"] = f"{int(request.node_mem_gb * 1024)}MB"
    if "gpus" not in stated:
        defaults["gpus_per_node"] = request.gpus * request.tasks_per_node
    executor.update_parameters(
        job_name=name,
        time=resources.time_min,
        nodes=resources.nodes,
        ntasks_per_node=request.tasks_per_node,
        cpus_per_task=request.cpus,
        signal_delay_s=min(settings.signal_s, resources.time_min * 60 // 3),
        array_parallelism=settings.array_throttle,
        stderr_to_stdout=True,
        dependency=after,
        wckey=None,
        # Since SLURM 22.05 srun does not take a task's cpus from the batch job.
        srun_args=[f"--cpus-per-task={request.cpus}", "--kill-on-bad-exit=1"],
        setup=[*resources.setup, *(f"export {key}={shlex.quote(exports[key])}" for key in exports)],
        additional_parameters={
            # SLURM itself queues a job again whose node died; max_retries counts what the job sees.
            "requeue": True,
            # Else what waits for a failed artefact stays in the queue for ever.
            "kill-on-invalid-dep": "yes",
            **dict(parse_sbatch_option(given) for given in resources.sbatch),
        },
        **{name: getattr(resources, name) for name in OPTIONS},
        **{name: value for name, value in defaults.items() if value},
    )
    return executor


def make_afterany_dependency(ids: Sequence[str]) -> str | None:
    """After whole arrays, whatever becomes of them: one id for each, however many its tasks."""
    return make_dependency("afterany", [identity.partition("_")[0] for identity in ids])


def reset_status(folder: Path) -> StatusWriter:
    """The status of a job submitted anew: nothing is counted yet."""
    status = StatusWriter(folder)
    status.counts.clear()
    return status
