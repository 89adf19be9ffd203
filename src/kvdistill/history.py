"""history.jsonl: what was asked of a root, an event a line, each with the hash of the line before.

Lines are only ever added. A line that is edited, removed or put in between breaks the chain behind
it, which `read_history` names. Cutting lines off the end breaks no chain by itself, so what is
recorded before training carries the hash of its own line (`Event.sha256`) into the run's manifest.
"""

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from filelock import SoftFileLease

from kvdistill import layout

EVENTS = (
    "planned", "claimed", "looked", "tuned", "failed", "withdrawn", "set_aside", "deleted",
    "code_accepted", "chosen",
)  # fmt: skip
"""What is recorded: nothing else can be appended."""
LEASE_S = 10.0
"""Seconds without a heartbeat after which a command that appends counts as dead."""


@dataclass(frozen=True)
class Event:
    """One line of the record."""

    index: int
    """Its line, from 0."""
    time: str
    """UTC, ISO 8601."""
    study: str
    event: str
    """One of EVENTS."""
    facts: dict[str, Any]
    sha256: str
    """Hash of the line, which the next one holds."""


@dataclass(frozen=True)
class History:
    """All events of a root in the order in which they were appended."""

    events: list[Event] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """A sentence for each place at which the file is not what was appended."""

    def select(self, study: str, *events: str) -> list[Event]:
        """The events of one study; only those of these names, if any are given."""
        return [e for e in self.events if e.study == study and (not events or e.event in events)]


def append_event(root: Path, study: str, event: str, **facts: Any) -> Event:
    """Adds a line behind the last one and returns it; it is on disk when this returns.

    Raises ValueError for an event that EVENTS does not list, and for facts that are no JSON.
    """
    if event not in EVENTS:
        raise ValueError(f"history has no event {event!r}: one of {', '.join(EVENTS)}")
    path = layout.history_file(root)
    path.parent.mkdir(parents=True, exist_ok=True)
    # A lease, not a lock: on network file systems flock may not reach the node of a report's job,
    # and two lines that follow the same one would look like an edit.
    with SoftFileLease(path.with_name(f".{path.name}.lease"), lease_duration=LEASE_S):
        before = path.read_bytes() if path.is_file() else b""
        lines = before.splitlines()
        value: dict[str, Any] = {
            "time": format_now(),
            "study": study,
            "event": event,
            "facts": facts,
            "previous": hash_line(lines[-1]) if lines else "",
        }
        line = json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
        with path.open("ab") as file:
            # A command that was killed while it wrote leaves half a line: it stays, as a problem.
            file.write((b"\n" if before and not before.endswith(b"\n") else b"") + line + b"\n")
            file.flush()
            os.fsync(file.fileno())
    return Event(len(lines), value["time"], study, event, facts, hash_line(line))


def read_history(root: Path) -> History:
    """What was recorded at this root: empty where nothing was. Raises for nothing it holds."""
    path = layout.history_file(root)
    if not path.is_file():
        return History()
    return check_chain(path.read_bytes().splitlines())


def check_chain(lines: Iterable[bytes]) -> History:
    """The events of these lines, and where a line does not hold the hash of the one before it."""
    history, previous = History(), ""
    for index, line in enumerate(lines):
        sha256 = hash_line(line)
        try:
            value = json.loads(line)
            event = Event(
                index, str(value["time"]), str(value["study"]), str(value["event"]),
                dict(value["facts"]), sha256,
            )  # fmt: skip
            if value["previous"] != previous:
                history.problems.append(describe_break(index))
            history.events.append(event)
        except (ValueError, KeyError, TypeError):
            history.problems.append(
                f"line {index + 1} of {layout.HISTORY} is no event: it was edited, or a command "
                "was killed while it wrote it"
            )
        previous = sha256
    return history


def describe_break(index: int) -> str:
    """What a line says that does not hold the hash of the one before it."""
    return (
        f"line {index + 1} of {layout.HISTORY} does not follow the line before it: a line was "
        "edited, removed or put in between after it was recorded"
        if index
        else f"the first line of {layout.HISTORY} follows another: the lines before it were removed"
    )


def format_now() -> str:
    """The time of an entry: UTC, ISO 8601, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def hash_line(line: bytes) -> str:
    """SHA-256 of a line without its end."""
    return hashlib.sha256(line).hexdigest()
