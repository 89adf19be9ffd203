"""stage=status: a study's runs as a table, as plain lines for a pipe, or as JSON."""

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.live import Live
from rich.table import Table

from kvdistill.cli.common import JobOverrides, compose_study_config, console, find_study_folder
from kvdistill.cluster.run_states import ALIVE, Line, look
from kvdistill.config.schema import Shown, typed
from kvdistill.records import SCHEMA_VERSION
from kvdistill.sanitise import spelled


def status_command(job_overrides: JobOverrides, _: Path) -> None:
    """Where every run of a study is."""
    config = compose_study_config(job_overrides)
    show_study(Path(config["root"]), find_study_folder(config), typed("status", config["status"]))


def show_study(root: Path, study: Path, shown: Shown) -> None:
    """Prints the study's state once, or again and again until nothing is at work."""
    form = "plain" if shown.format == "table" and not sys.stdout.isatty() else shown.format
    if form != "table":
        lines = print_plain(root, study, form)
        while shown.watch and any(line.state in ALIVE for line in lines):
            time.sleep(shown.every_s)
            lines = print_plain(root, study, form)
        return
    found = list(look(root, study))
    with Live(table(study.name, found), console=console) as live:
        while shown.watch and any(line.state in ALIVE for line in found):
            time.sleep(shown.every_s)
            found = list(look(root, study))
            live.update(table(study.name, found))


def print_plain(root: Path, study: Path, form: str) -> list[Line]:
    """One line a run, tab-separated; or one JSON object a look."""
    found = list(look(root, study))
    if form == "json":
        said = {"schema_version": SCHEMA_VERSION, "study": study.name, "at": time.time()}
        text = json.dumps(said | {"runs": [asdict(line) for line in found]}, allow_nan=False)
    else:
        text = "\n".join(
            "\t".join(" ".join(spelled(cell).split()) for cell in cells(line)) for line in found
        )
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
    return found


def cells(line: Line) -> list[str]:
    """The columns as text."""
    progress = f"{line.step}/{line.steps}" if line.steps else ""
    rate = f"{line.steps_per_s:.2f}/s" if line.steps_per_s else ""
    eta = f"{line.eta_s:.0f} s" if line.eta_s else ""
    beat = (
        f"{line.heartbeat_s:.0f} s" if line.heartbeat_s is not None and line.state in ALIVE else ""
    )
    again = f"{line.requeues}+{line.retries}" if line.requeues or line.retries else ""
    return [
        line.run, line.label, str(line.seed), line.state, progress, rate, eta, beat, again,
        line.job or "", line.why,
    ]  # fmt: skip


COLUMNS = (
    "run", "arm", "seed", "state", "steps", "rate", "left", "heartbeat", "requeued+retried",
    "job", "why",
)  # fmt: skip


def table(study: str, lines: Sequence[Line]) -> Table:
    """What a terminal shows; columns that say nothing are left out."""
    rows = [cells(line) for line in lines]
    counts = {
        state: sum(line.state == state for line in lines)
        for line in lines
        for state in [line.state]
    }
    title = ", ".join(f"{number} {state}" for state, number in counts.items())
    used = [index for index in range(len(COLUMNS)) if any(row[index] for row in rows)]
    found = Table(*(COLUMNS[index] for index in used), title=f"study {study}: {title}")
    for row in rows:
        found.add_row(*(row[index] for index in used))
    return found
