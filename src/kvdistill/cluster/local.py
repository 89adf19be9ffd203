"""Runs a plan's jobs as processes on this machine, each after the artefacts it reads."""

import os
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.progress import Progress, TaskID

from kvdistill import status
from kvdistill.cluster import forkserver
from kvdistill.cluster.environment import common_environment
from kvdistill.cluster.job_failures import blame_artifact
from kvdistill.config.schema import EvaluationJob, LocalCluster
from kvdistill.console import make_progress as bars_on_stderr
from kvdistill.console import write_stderr
from kvdistill.jobs.__main__ import ENDED, NO_SPACE, describe_full_disk
from kvdistill.plan.graph import Node
from kvdistill.plan.run_jobs import count_tasks, is_job_done

POLL_S = 0.2
WORD_S = 60.0
"""Seconds after which logs and pipes, where no bars are drawn, are told what runs."""
STOPPING = (
    "Stopping: jobs that train save at their next step, the others end now. Again: all end at once."
)
ENDING = (signal.SIGTERM, signal.SIGHUP)


@dataclass
class JobQueue:
    """The jobs still to do, those running, and how each ended."""

    waiting: list[Node]
    folders: Mapping[str, Path]
    evaluation: EvaluationJob = field(default_factory=EvaluationJob)
    running: dict[str, forkserver.RankProcesses] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    """Name -> the one line that says why."""
    abandoned: set[str] = field(default_factory=set)
    """Artefacts ended unfinished, since what would have read them failed."""

    def __post_init__(self) -> None:
        # Whatever nobody here reads was asked for itself; only that keeps an artefact worth
        # building.
        read = {need for node in self.waiting for need in node.needs.values()}
        self.final_names = {node.name for node in self.waiting} - read
        """What no other job reads: done for its own sake."""
        self.waiting = [node for node in self.waiting if not self.is_done(node.name)]

    def is_done(self, name: str) -> bool:
        """Whether what the job makes stands on disk."""
        return is_job_done(name, self.folders[name])

    def start(self, slots: int) -> None:
        """Starts what can start; what reads a failed artefact fails with its reason."""
        for node in list(self.waiting):
            broken = [need for need in node.needs.values() if need in self.failed]
            if broken:
                self.waiting.remove(node)
                self.failed[node.name] = blame_artifact(broken[0], self.failed[broken[0]])
                # What failed to train has said why in the status that the run's jobs share.
                if self.folders[node.name] != self.folders[broken[0]]:
                    status.StatusWriter(self.folders[node.name]).write(
                        "failed", error=self.failed[node.name]
                    )
            elif self.processes_running < slots and all(map(self.is_done, node.needs.values())):
                ranks = count_tasks(node, self.evaluation)
                if (
                    not self.running or self.processes_running + ranks <= slots
                ):  # a wide job runs alone
                    self.waiting.remove(node)
                    folder = self.folders[node.name]
                    self.running[node.name] = forkserver.start_job(folder, ranks, node.kind)

    @property
    def processes_running(self) -> int:
        """Processes at work."""
        return sum(job.size for job in self.running.values())

    def reap(self) -> list[str]:
        """Names of the jobs that ended since the last call."""
        ended = [name for name, job in self.running.items() if not job.is_alive()]
        for name in ended:
            code = self.running.pop(name).exitcode
            # One that was ended here on purpose has no failure of its own to tell.
            if not self.is_done(name) and name not in self.abandoned:
                error = status.read_status(self.folders[name]).get("error")
                self.failed[name] = error or explain_killed_job(self.folders[name], code)
        return ended

    def abandon_needless(self) -> None:
        """After a failure, drops and ends what only failed jobs would have read."""
        if not self.failed:
            return
        read: set[str] = set()
        # Readers come after what they read, so from behind each need is known before its maker.
        for node in reversed(self.waiting):
            if node.name in read | self.final_names:
                read |= set(node.needs.values())
        self.waiting = [node for node in self.waiting if node.name in read | self.final_names]
        for name, job in self.running.items():
            if name not in read | self.final_names:
                self.abandoned.add(name)
                job.terminate()

    def stop(self) -> None:
        """Ends every running job: one that trains saves at its next step, and gives back its lease.

        Ctrl-C while this waits ends them at once.
        """
        try:
            for job in self.running.values():
                job.terminate()
            for job in self.running.values():
                job.join()
        except KeyboardInterrupt:
            for job in self.running.values():
                job.kill()
            for job in self.running.values():
                job.join()
            raise


def explain_killed_job(folder: Path, code: int | None) -> str:
    """What is said of a job that could not say it itself."""
    if code == NO_SPACE:
        return describe_full_disk(folder)
    if code == ENDED and status.read_status(folder)["state"] == status.STOPPED:
        return "stopped by SIGTERM. Repeat the command: a training goes on where it stopped"
    return f"killed, exit code {code}; its log is log.txt"


def prepare_environment(widest: int, settings: LocalCluster) -> int:
    """Puts what jobs find in their environment into this process's; returns how many may run.

    Before the first is started: their server keeps the environment that it began with.
    """
    # Not cpu_count: SLURM or taskset may have given this process fewer.
    cores = len(os.sched_getaffinity(0))
    slots = settings.max_parallel or cores
    os.environ.update(common_environment(settings.threads or max(1, cores // max(slots, widest))))
    return slots


def run_jobs(
    nodes: Sequence[Node], folders: Mapping[str, Path], settings: LocalCluster
) -> dict[str, str]:
    """Does all jobs and returns the failed ones with their reason.

    Ctrl-C, SIGTERM or a closed terminal stop them: those that train save at their next step.
    """
    jobs = JobQueue(list(nodes), folders, settings.evaluation)
    if not jobs.waiting:
        return {}
    slots = prepare_environment(
        max(count_tasks(node, settings.evaluation) for node in jobs.waiting), settings
    )
    handled_signals = [
        number for number in ENDING if signal.getsignal(number) != signal.SIG_IGN
    ]  # nohup
    old_handlers = {
        number: signal.signal(number, signal.default_int_handler) for number in handled_signals
    }
    try:
        with bars_on_stderr() as progress:
            total = progress.add_task("all jobs", total=len(jobs.waiting))
            bars: dict[str, TaskID] = {}
            last_word = time.monotonic()
            while jobs.waiting or jobs.running:
                jobs.start(slots)
                jobs.abandon_needless()
                update_bars(progress, jobs, bars)
                ended = jobs.reap()
                for name in ended:
                    progress.remove_task(bars.pop(name))
                    progress.advance(total)
                lines = [describe_end(jobs, name) for name in ended]
                if not lines and jobs.running and time.monotonic() - last_word > WORD_S:
                    lines = [describe_running(jobs)]
                if lines and not progress.console.is_terminal:
                    last_word = time.monotonic()
                    progress.console.print("\n".join(lines), soft_wrap=True)
                time.sleep(POLL_S)
    except KeyboardInterrupt:
        if jobs.running:
            write_stderr(STOPPING)
        raise
    finally:
        jobs.stop()
        for number, handler in old_handlers.items():
            signal.signal(number, handler)
    return jobs.failed


def describe_end(jobs: JobQueue, name: str) -> str:
    """A line for logs and pipes, where no bars are drawn: `14:02:11 seed42-...: done, 3 left`."""
    left = len(jobs.waiting) + len(jobs.running)
    outcome = "given up" if name in jobs.abandoned else "done"
    if name in jobs.failed:
        outcome = f"failed: {jobs.failed[name]}"
    return f"{time.strftime('%H:%M:%S')} {name}: {outcome}, {left} left"


def describe_running(jobs: JobQueue) -> str:
    """Likewise, of jobs at work: `14:02:11 seed42-...: 120/300; kv-...: reading gemma`."""
    words = []
    for name in jobs.running:
        job_status = status.read_status(jobs.folders[name])
        steps = f"{job_status['step']}/{job_status['steps']}" if job_status.get("steps") else ""
        at = " ".join(word for word in (steps, status.format_phase(job_status)) if word)
        words.append(f"{name}: {at}" if at else name)
    return f"{time.strftime('%H:%M:%S')} {'; '.join(words)}"


def update_bars(progress: Progress, jobs: JobQueue, bars: dict[str, TaskID]) -> None:
    """One bar a running job, from its own status.json."""
    for name in jobs.running:
        if name not in bars:
            bars[name] = progress.add_task(name, total=None)
        job_status = status.read_status(jobs.folders[name])
        phase = status.format_phase(job_status)
        progress.update(bars[name], description=f"{name}: {phase}" if phase else name)
        if job_status.get("steps"):
            progress.update(bars[name], completed=job_status["step"], total=job_status["steps"])
