"""Runs launch.py for tests in a fork of a process that has imported it, with one job server.

A command of its own costs a new interpreter, and its jobs another that imports torch: six
processor seconds, in which nothing is tested. Here both processes are started once a test process.
Each command is still a process with its own arguments, standard streams and exit code, and its jobs
are forked from a server as always; threads may run several at once. What a new interpreter
alone can show is tested without this: tests/end_to_end/test_elsewhere.py, test_stopped.py and
tests/slurm.
"""

import atexit
import gc
import json
import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from pathlib import Path
from typing import IO, Any

from tests.slurm.mini import die_with_parent

ROOT = Path(__file__).parents[1]
STAGES = ("cancel", "data", "evaluate", "plan", "report", "retry", "run", "status", "teachers")
ENVIRONMENT = {"COLUMNS": "200", "OMP_NUM_THREADS": "1"}


def launch(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """`python launch.py` with these arguments, as it ends."""
    return start_shared_server().run(arguments)


@cache
def start_shared_server() -> "LaunchServer":
    """The one of this test process, for the repository itself."""
    server = LaunchServer.start(ROOT, os.environ)
    atexit.register(server.stop)
    return server


@dataclass
class LaunchServer:
    """A process that answers one command after another, and what it prints itself."""

    process: "subprocess.Popen[str]"
    log: IO[bytes]
    temporary: "tempfile.TemporaryDirectory[str]"
    """Forked commands leave it without a goodbye, so what they put there ends with the server."""
    numbers: Iterator[int] = field(default_factory=count)
    exit_codes: dict[int, int] = field(default_factory=dict)
    """Of commands by number, until the thread that waits for one has it."""
    sending: threading.Lock = field(default_factory=threading.Lock)
    receiving: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def start(cls, project: Path, environment: Mapping[str, str]) -> "LaunchServer":
        """A server for the launch.py, sources and conf/ of a folder."""
        log = tempfile.TemporaryFile()  # noqa: SIM115 - the server's for as long as it lives
        temporary = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        path = os.pathsep.join((str(project / "src"), str(ROOT)))
        process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            cwd=project,
            env={**environment} | ENVIRONMENT | {"PYTHONPATH": path, "TMPDIR": temporary.name},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            preexec_fn=die_with_parent,
        )
        return cls(process, log, temporary)

    def run(self, arguments: Sequence[str]) -> "subprocess.CompletedProcess[str]":
        """One command, to its end. Raises RuntimeError where the server has died."""
        requests = self.process.stdin
        assert requests is not None
        with tempfile.NamedTemporaryFile() as out, tempfile.NamedTemporaryFile() as err:
            request = {"arguments": arguments, "stdout": out.name, "stderr": err.name}
            with self.sending:
                number = next(self.numbers)
                requests.write(json.dumps(request | {"number": number}) + "\n")
                requests.flush()
            code = self.wait_for_exit(number)
            texts = [Path(stream.name).read_text(encoding="utf-8") for stream in (out, err)]
        return subprocess.CompletedProcess(list(arguments), code, *texts)

    def wait_for_exit(self, number: int) -> int:
        """A command's exit code. Whichever thread waits first reads the answers, of others too."""
        answers = self.process.stdout
        assert answers is not None
        while True:
            with self.receiving:
                if number in self.exit_codes:
                    return self.exit_codes.pop(number)
                if not (answer := answers.readline()):
                    self.log.seek(0)
                    raise RuntimeError(self.log.read().decode())
                answered, code = map(int, answer.split())
                self.exit_codes[answered] = code

    def stop(self) -> None:
        """Ends it, and with it the server of its jobs."""
        self.process.terminate()
        self.process.communicate()
        self.log.close()
        self.temporary.cleanup()


def serve() -> None:
    """Answers requests from stdin with exit codes on stdout, until the test process ends."""
    from importlib import import_module
    from multiprocessing import forkserver

    from kvdistill.cluster import run_module
    from kvdistill.cluster.environment import common_environment

    gc.disable()  # until all is imported that lives as long as this process
    answers = os.dup(1)
    os.dup2(2, 1)  # what the server of jobs prints is no answer
    # A command sets this before its server of jobs starts; here that server starts first.
    os.environ.update(common_environment(threads=1))
    forkserver.ensure_running()  # it imports what jobs need while this imports what commands need

    from kvdistill.cli import data
    from kvdistill.cluster import preflight
    from kvdistill.plan.code.reach import PackageCode

    for stage in STAGES:
        import_module(f"kvdistill.cli.{stage}")
    import_module("kvdistill.report.study_report")  # as a run does once its jobs are done
    # A command parses the modules that its runs reach; here all have them parsed.
    PackageCode().trace_modules(["kvdistill.train.run", "kvdistill.evaluate.write_records"])
    # Both answer alike; the one that a user's command starts would import torch each time.
    for module in (data, preflight):
        module.call_in_new_process = run_module.call_in_server_process
    # Once it answers it has imported all: a test may spoil the sources after its first command.
    run_module.call_in_server_process("json", "dumps", None)
    # A fork may use the server that its parent started, but not wait for it, as this would.
    forkserver._forkserver.ensure_running = lambda: None  # type: ignore[method-assign]
    gc.collect()
    gc.freeze()  # no command need look at it
    gc.enable()
    waiters: set[int] = set()
    for line in sys.stdin:
        request = json.loads(line)
        if (waiter := os.fork()) == 0:
            os._exit(answer_request(answers, request.pop("number"), request))
        waiters.add(waiter)
        waiters -= {pid for pid in waiters if os.waitpid(pid, os.WNOHANG)[0]}


def answer_request(answers: int, number: int, request: Mapping[str, Any]) -> int:
    """A forked process that waits for the command, a process of its own, and tells how it ended."""
    die_with_parent()
    if (child := os.fork()) == 0:
        os.close(answers)
        os._exit(run_command(**request))
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.write(answers, f"{number} {code}\n".encode())
    return 0


def run_command(arguments: Sequence[str], stdout: str, stderr: str) -> int:
    """The forked process: launch.py as the main module; its exit code."""
    die_with_parent()
    for path, target in ((os.devnull, 0), (stdout, 1), (stderr, 2)):
        stream = os.open(path, os.O_RDWR)
        os.dup2(stream, target)
        os.close(stream)
    sys.argv = ["launch.py", *arguments]
    try:
        runpy.run_path(str(Path.cwd() / "launch.py"), run_name="__main__")
    except SystemExit as ending:
        code = ending.code
    finally:
        for child in multiprocessing.active_children():
            child.join()
        for file in (sys.stdout, sys.stderr):
            file.flush()
    return code if isinstance(code, int) else int(code is not None)


if __name__ == "__main__":
    serve()
