"""status.json: how far a job is, written by the job and read by commands."""

import logging
import os
import platform
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kvdistill import layout
from kvdistill.files import is_complete, read_json, write_json
from kvdistill.records import SCHEMA_VERSION
from kvdistill.redact import redact_secrets


@dataclass
class StatusWriter:
    """Writes a folder's status.json."""

    folder: Path
    started: float = field(default_factory=time.monotonic)
    last_written: float = -1.0
    first_step: int | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)
    counts: dict[str, Any] = field(default_factory=dict)
    """Counts that outlive a process: how often the job was queued again, and tried again."""
    warnings: list[str] = field(default_factory=list)
    """What the job has warned of; in every status from then on."""

    def __post_init__(self) -> None:
        previous = read_status(self.folder)
        self.counts = {key: previous[key] for key in ("requeues", "retries") if key in previous}

    def write_progress(self, step: int, steps: int) -> None:
        """Writes that `step` of `steps` are done, at most twice a second."""
        now = time.monotonic()
        # The rate counts from the first report: a resumed run does not begin at zero.
        if self.first_step is None:
            self.first_step, self.started = step, now
        if now - self.last_written < 0.5 and step < steps:
            return
        self.last_written = now
        rate = (step - self.first_step) / max(now - self.started, 1e-9)
        self.write(
            "running",
            step=step,
            steps=steps,
            steps_per_s=rate,
            eta_s=(steps - step) / rate if rate > 0 else None,
        )

    def write(self, state: str, **more: Any) -> None:
        """Writes a state: queued, running, done or failed (with its one line as `error`)."""
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
            write_json(self.folder / layout.STATUS, entry | self.counts | details)


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
