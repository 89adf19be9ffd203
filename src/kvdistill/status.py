"""status.json: how far a job is, written by the job and read by commands."""

import logging
import os
import platform
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kvdistill import layout
from kvdistill.files import is_complete, read_json, write_json
from kvdistill.records import SCHEMA_VERSION
from kvdistill.redact import redact_secrets

log = logging.getLogger(__name__)

HEARTBEAT_S = 30.0
"""Seconds between signs of life of a job that has nothing new to say."""
STOPPED = "stopped"
"""The state of a job that was told to end on this machine: the same command goes on with it."""
UPDATE_S = 0.5
"""Seconds at least between two writings of how far a job is."""


@dataclass
class StatusWriter:
    """Writes a folder's status.json."""

    folder: Path
    started: float = field(default_factory=time.monotonic)
    last_written: float = -1.0
    first_step: int | None = None
    lock: threading.RLock = field(default_factory=threading.RLock)
    counts: dict[str, Any] = field(default_factory=dict)
    """Counts that outlive a process: how often the job was queued again, and tried again."""
    warnings: list[str] = field(default_factory=list)
    """What the job has warned of; in every status from then on."""
    steps: dict[str, Any] = field(default_factory=lambda: {"step": 0, "steps": 0})
    """Steps of training, or answers of scoring, done and to do; in every status while it runs."""
    phase: dict[str, Any] = field(default_factory=dict)
    """What else the job is at, and how far with it; likewise."""
    state: str = ""
    """As it was last written."""

    def __post_init__(self) -> None:
        previous = read_status(self.folder)
        self.counts = {key: previous[key] for key in ("requeues", "retries") if key in previous}

    def write_progress(self, step: int, steps: int) -> None:
        """Writes that `step` of `steps` are done, at most twice a second."""
        now = time.monotonic()
        # The rate counts from the first report: a resumed run does not begin at zero. And anew
        # where other things are counted, as answers of scoring are after steps of training.
        if self.first_step is None or step < self.steps["step"]:
            self.first_step, self.started = step, now
        rate = (step - self.first_step) / max(now - self.started, 1e-9)
        self.steps = {
            "step": step,
            "steps": steps,
            "steps_per_s": rate,
            "eta_s": (steps - step) / rate if rate > 0 else None,
        }
        self._write_running(now, due=step >= steps)

    @contextmanager
    def show_phase(self, name: str) -> Iterator[Callable[[int, int], None]]:
        """Within it the status says that the job is at `name`; the outer phase comes back after.

        What it gives takes (done, to do) of the phase.
        """
        outer = self.phase

        def report_progress(done: int, total: int) -> None:
            self.phase = {"phase": name, "phase_done": done, "phase_total": total}
            self._write_running(time.monotonic(), due=done >= total)

        self.phase = {"phase": name}
        self._write_running(time.monotonic(), due=True)
        try:
            yield report_progress
        finally:
            self.phase = outer
        self._write_running(time.monotonic(), due=True)

    @contextmanager
    def keep_alive(self, every_s: float = HEARTBEAT_S) -> Iterator[None]:
        """Within it the status gets a heartbeat every so often, whatever the job is busy with."""
        ended = threading.Event()

        def beat_until_ended() -> None:
            while not ended.wait(every_s):
                self._beat()

        thread = threading.Thread(target=beat_until_ended, name="heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _beat(self) -> None:
        try:
            self._write_running(time.monotonic(), due=True)
        except OSError as error:  # a disk may heal; the job itself fails where it does not
            log.info("no heartbeat could be written: %s", error)

    def _write_running(self, now: float, *, due: bool) -> None:
        if not due and now - self.last_written < UPDATE_S:
            return
        with self.lock:
            # Another thread's word that the job has failed is not taken back.
            if self.state in ("", "running"):
                self.last_written = now
                self.write("running", **self.steps, **self.phase)

    def write(self, state: str, **more: Any) -> None:
        """Writes a state: queued, running, stopped, trained, done or failed (`error`: one line)."""
        entry: dict[str, Any] = {"schema_version": SCHEMA_VERSION, "state": state}
        entry["heartbeat"] = time.time()
        entry["process"] = {"host": platform.node(), "pid": os.getpid()}
        if self.warnings:
            entry["warnings"] = self.warnings
        details = {
            key: redact_secrets(each) if isinstance(each, str) else each
            for key, each in more.items()
        }
        # The thread that watches other ranks writes too, and both write to one temporary file.
        with self.lock:
            self.state = state
            write_json(self.folder / layout.STATUS, entry | self.counts | details)


_own_status: StatusWriter | None = None
"""Of the job that this process does."""


@contextmanager
def tell_phases_to(status: StatusWriter) -> Iterator[None]:
    """Within it `enter_phase` speaks of the job with this status."""
    global _own_status
    outer, _own_status = _own_status, status
    try:
        yield
    finally:
        _own_status = outer


@contextmanager
def enter_phase(name: str) -> Iterator[Callable[[int, int], None]]:
    """What this process's job is at while this is open, for its status; gives a reporter.

    The reporter takes (done, to do). Without a job, and on ranks that write none, nothing is said.
    """
    if _own_status is None:
        yield lambda *_: None
        return
    with _own_status.show_phase(name) as report_progress:
        yield report_progress


class WarningHandler(logging.Handler):
    """Puts the project's own warnings into a job's status, and into its log by stderr."""

    def __init__(self, status: StatusWriter) -> None:
        super().__init__(logging.WARNING)
        self.status = status

    def emit(self, record: logging.LogRecord) -> None:
        """Called by logging. Errors go to the log alone: a failed status has its own line."""
        line = redact_secrets(record.getMessage())
        sys.stderr.write(f"{record.levelname.lower()}: {line}\n")
        if record.levelno == logging.WARNING:
            self.status.warnings.append(line)


def read_status(folder: Path) -> dict[str, Any]:
    """The content of status.json; `done` if there is a manifest, `missing` if neither is there."""
    if is_complete(folder):
        return {"state": "done"}
    path = folder / layout.STATUS
    return read_json(path) if path.is_file() else {"state": "missing"}


def format_phase(entry: Mapping[str, Any]) -> str:
    """What a status says that its job is at, as `validation 3/64` or without; empty for nothing."""
    if "phase" not in entry:
        return ""
    total = entry.get("phase_total")
    return f"{entry['phase']} {entry['phase_done']}/{total}" if total else str(entry["phase"])


def is_process_gone(entry: Mapping[str, Any]) -> bool:
    """Whether the process that wrote a status ran on this machine and has ended.

    False where it cannot be told: of another machine, or of a number that is in use again.
    """
    process = entry.get("process") or {}
    if process.get("host") != platform.node() or not isinstance(process.get("pid"), int):
        return False
    try:
        os.kill(process["pid"], 0)  # signal 0 asks, and sends nothing
    except ProcessLookupError:
        return True
    except OSError:  # another user's
        return False
    return False
