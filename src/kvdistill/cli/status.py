"""stage=status: a study's runs, and above them what is being made that they wait for.

A table, plain lines for a pipe, or JSON.
"""

import json
import sys
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from rich.live import Live
from rich.table import Table

from kvdistill.cli.common import JobOverrides, compose_study_config, console, find_study_folder
from kvdistill.cluster.run_states import ALIVE, RunState
from kvdistill.cluster.study_state import StudyState, read_study_state
from kvdistill.config.schema import StatusSettings, read_group
from kvdistill.console import format_count
from kvdistill.records import SCHEMA_VERSION
from kvdistill.sanitise import escape_hidden


def status_command(job_overrides: JobOverrides, _: Path) -> None:
    """Where every run of a study is."""
    config = compose_study_config(job_overrides)
    show_study(
        Path(config["root"]), find_study_folder(config), read_group("status", config["status"])
    )


def show_study(root: Path, study: Path, settings: StatusSettings) -> None:
    """Prints the study's state once, or again and again until nothing is at work."""
    # A pipe gets no table: its lines would be cut at a width that nobody set.
    output_format = (
        "plain" if settings.format == "table" and not sys.stdout.isatty() else settings.format
    )
    if output_format != "table":
        state = print_lines(root, study, output_format)
        while settings.watch and state.is_at_work():
            time.sleep(settings.every_s)
            state = print_lines(root, study, output_format)
        return
    state = read_study_state(root, study)
    with Live(tabulate_study(study.name, state), console=console) as live:
        while settings.watch and state.is_at_work():
            time.sleep(settings.every_s)
            state = read_study_state(root, study)
            live.update(tabulate_study(study.name, state))


def print_lines(root: Path, study: Path, output_format: str) -> StudyState:
    """A header and one line an artefact and run, tab-separated; or one JSON object a look."""
    state = read_study_state(root, study)
    if output_format == "json":
        header = {"schema_version": SCHEMA_VERSION, "study": study.name, "at": time.time()}
        lines = {"building": state.building, "runs": state.runs}
        node = {name: [asdict(line) for line in each] for name, each in lines.items()}
        text = json.dumps(header | node, allow_nan=False)
    else:
        rows = [list(COLUMNS), *map(format_cells, (*state.building, *state.runs))]
        text = "\n".join(
            "\t".join(" ".join(escape_hidden(cell).split()) for cell in row) for row in rows
        )
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
    return state


def format_cells(line: RunState) -> list[str]:
    """The columns as text."""
    progress = f"{line.step}/{line.steps}" if line.steps else ""
    rate = f"{line.steps_per_s:.2f}/s" if line.steps_per_s else ""
    eta = f"{line.eta_s:.0f} s" if line.eta_s else ""
    heartbeat = (
        f"{line.heartbeat_s:.0f} s" if line.heartbeat_s is not None and line.state in ALIVE else ""
    )
    speed = f"{line.tokens_per_s:,.0f}" if line.tokens_per_s else ""
    mfu = f"{100 * line.mfu:.1f} %" if line.mfu is not None else ""
    seed = "" if line.seed is None else str(line.seed)
    repeats = f"{line.requeues}+{line.retries}" if line.requeues or line.retries else ""
    return [
        line.run, line.label, seed, line.state, progress, rate, eta, heartbeat, repeats,
        line.job or "", line.why, speed, mfu, format_memory(line), line.phase,
    ]  # fmt: skip


def format_memory(line: RunState) -> str:
    """`2.1 of 2.3`: GiB of a process at most, and what the plan reckoned its tensors to be."""
    if line.peak_bytes is None:
        return ""
    measured = f"{line.peak_bytes / 2**30:.1f}"
    return (
        measured
        if line.foretold_bytes is None
        else (f"{measured} of {line.foretold_bytes / 2**30:.1f}")
    )


COLUMNS = (
    "run", "arm", "seed", "state", "steps", "rate", "left", "heartbeat", "requeued+retried",
    "job", "why", "tokens/s", "MFU", "GiB, foretold", "phase",
)  # fmt: skip


def tabulate_study(study: str, state: StudyState) -> Table:
    """What a terminal shows; columns that say nothing are left out."""
    building, runs = (
        [format_cells(line) for line in each] for each in (state.building, state.runs)
    )
    counts = Counter(line.state for line in state.runs)
    title = ", ".join(f"{number} {word}" for word, number in counts.items())
    if building:
        title += f"; above them {format_count(len(building), 'artefact')} in the making"
    used = [index for index in range(len(COLUMNS)) if any(row[index] for row in building + runs)]
    table = Table(*(COLUMNS[index] for index in used), title=f"study {study}: {title}")
    for rows in (building, runs):
        for row in rows:
            table.add_row(*(row[index] for index in used))
        table.add_section()
    return table
