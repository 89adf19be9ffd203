"""The ranks of one job as processes of this machine, from a server that has imported torch once.

The server runs a frozen copy of the package: what is edited while jobs wait changes none of them.
"""

import multiprocessing
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from kvdistill.cluster.code_snapshot import PACKAGE
from kvdistill.jobs.__main__ import main as do_job
from kvdistill.jobs.log import redirect_output

# Fork alone would copy threads' locks in whatever state they are; a server forks while it has none.
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["kvdistill.jobs.server_signals", "kvdistill.jobs.preload"])
GRACE_S = 20.0
"""Seconds in which the other ranks may end by themselves once one has failed."""
_served: Path | None = None
"""The copy of the package that the server runs, once one was given."""


@dataclass
class RankProcesses:
    """The processes of one job, one a rank; the failure of one ends them all."""

    processes: Sequence[BaseProcess]
    failed_at: float | None = None

    @property
    def size(self) -> int:
        """Number of ranks."""
        return len(self.processes)

    @property
    def exitcode(self) -> int | None:
        """That of the first rank that failed; None while all run."""
        # A rank that was ended because another failed has a code too; the first that is not 0
        # counts.
        codes = [process.exitcode for process in self.processes]
        return next((code for code in codes if code), codes[0])

    def is_alive(self) -> bool:
        """Whether any rank still runs. Ends those that outlive a failed one by too long."""
        if self.exitcode and self.failed_at is None:
            self.failed_at = time.monotonic()
        late = time.monotonic() - (self.failed_at or time.monotonic())
        for process in self.processes:
            if late > GRACE_S:
                process.kill()
        return any(process.is_alive() for process in self.processes)

    def terminate(self) -> None:
        """Asks every rank to end."""
        for process in self.processes:
            process.terminate()

    def kill(self) -> None:
        """Ends every rank at once: nothing is saved."""
        for process in self.processes:
            process.kill()

    def join(self) -> None:
        """Waits until all have ended."""
        for process in self.processes:
            process.join()


def start_job(folder: Path, size: int, kind: str) -> RankProcesses:
    """Starts the ranks of a job of this kind, whose frozen config lies in a folder."""
    port = find_free_port() if size > 1 else 0
    processes = []
    for rank in range(size):
        variables = {
            "RANK": rank, "WORLD_SIZE": size, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": size,
            "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port,
        }  # fmt: skip
        environment = {key: str(value) for key, value in variables.items()} if size > 1 else {}
        processes.append(start_process(run_job, folder, environment, kind, name=folder.name))
    return RankProcesses(processes)


def serve_code(code: Path) -> None:
    """From here on processes run this copy of the package, as `take_snapshot` made it.

    A server that runs other code ends; one that runs the same code, from wherever, stays.
    """
    global _served
    if _served is not None and _served.name == code.name:
        return
    if _served is not None:
        # Processes that it forked live on; there is no public way to end it.
        forkserver._forkserver._stop()  # type: ignore[attr-defined]
    _served = code


def find_served_package() -> Path:
    """The package that processes run: all jobs of a command run the one that it began with."""
    return PACKAGE if _served is None else _served / PACKAGE.name


def start_process(target: Callable[..., None], *arguments: Any, name: str = "") -> BaseProcess:
    """Starts a process from the server, and the server where it does not run."""
    process = SERVER.Process(target=target, args=arguments, name=name or None)
    with prefer_code(_served):
        process.start()
    return process


@contextmanager
def prefer_code(code: Path | None) -> Iterator[None]:
    """Within it a new interpreter imports the package from this folder, if one is given."""
    if code is None:
        yield
        return
    # By variable and by path: which of them a server reads differs among versions of Python.
    path, variable = list(sys.path), os.environ.get("PYTHONPATH")
    sys.path.insert(0, str(code))
    os.environ["PYTHONPATH"] = os.pathsep.join([str(code), *([variable] if variable else [])])
    try:
        yield
    finally:
        sys.path[:] = path
        if variable is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = variable


def run_job(folder: Path, environment: dict[str, str], kind: str) -> None:
    """Runs in the new process: what it prints goes to log.txt in the job's folder."""
    os.environ.update(environment)
    # Ctrl-C and a closed terminal reach the whole process group; the launching process then ends
    # the jobs itself, by SIGTERM, so that they save first.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # which the server ignores
    redirect_output(folder)
    sys.exit(do_job(folder, kind))


def find_free_port() -> int:
    """A port that nobody listens on now."""
    # Another process may take it before the ranks meet; then the job fails with that line.
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
