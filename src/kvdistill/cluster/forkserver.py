"""The ranks of one job as processes of this machine, from a server that has imported torch once."""

import multiprocessing
import os
import signal
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from kvdistill.errors import UserError

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["kvdistill.jobs.preload"])
GRACE_S = 20.0
"""Seconds in which the other ranks may end by themselves once one has failed."""


@dataclass
class Gang:
    """One process a rank; the failure of one ends them all."""

    processes: Sequence[BaseProcess]
    failed_at: float | None = None

    @property
    def size(self) -> int:
        """Number of ranks."""
        return len(self.processes)

    @property
    def exitcode(self) -> int | None:
        """That of the first rank that failed; None while all run."""
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

    def join(self) -> None:
        """Waits until all have ended."""
        for process in self.processes:
            process.join()


def start(folder: Path, size: int) -> Gang:
    """The processes of a job."""
    port = free_port() if size > 1 else 0
    processes = []
    for rank in range(size):
        variables = {
            "RANK": rank, "WORLD_SIZE": size, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": size,
            "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port,
        }  # fmt: skip
        environment = {key: str(value) for key, value in variables.items()} if size > 1 else {}
        process = SERVER.Process(target=job, args=(folder, environment), name=folder.name)
        process.start()
        processes.append(process)
    return Gang(processes)


def asked(module: str, function: str, given: Any) -> Any:
    """What a function answers in a process of its own, which finds torch imported.

    Raises UserError where it fails.
    """
    answer, given_back = SERVER.Pipe(duplex=False)
    process = SERVER.Process(target=answered, args=(module, function, given, given_back))
    process.start()
    given_back.close()
    try:
        said, failed = answer.recv()
    except EOFError:
        said, failed = None, "it was killed"
    process.join()
    if failed:
        raise UserError(f"{module} failed: {failed}")
    return said


def answered(module: str, function: str, given: Any, answer: Connection) -> None:
    """Runs in the new process."""
    try:
        said, failed = getattr(import_module(module), function)(given), None
    except Exception as error:  # noqa: BLE001 - the last frame
        said, failed = None, f"{type(error).__name__}: {error}"
    answer.send((said, failed))


def job(folder: Path, environment: dict[str, str]) -> None:
    """Runs in the new process: what it prints goes to log.txt in the job's folder."""
    from kvdistill.jobs.__main__ import main

    os.environ.update(environment)
    # Ctrl-C reaches the whole process group; the launching process then ends the jobs itself.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    log = os.open(folder / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, sys.stdout.fileno())
    os.dup2(log, sys.stderr.fileno())
    sys.exit(main(folder))


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
