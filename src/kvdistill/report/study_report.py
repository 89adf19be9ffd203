"""A study's budget and report, written and printed once its jobs have ended."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock
from rich.console import Console

from kvdistill import layout
from kvdistill.console import SafeConsole, label_message
from kvdistill.errors import ArtifactError
from kvdistill.report.budget_table import write_budget
from kvdistill.report.build import build_report, check_output
from kvdistill.report.terminal import make_terminal_tables
from kvdistill.stats.audit.record_events import record_look
from kvdistill.stats.load import list_unreadable_runs, load_study


def make_study_report(request: Mapping[str, Any]) -> dict[str, str]:
    """`write_study_report` for another process, whose terminal shows what it prints.

    `request` is {"root", "study": paths; "stats": as there; "width", "terminal": the columns of a
    console, and whether it is a terminal}. Returns {"printed": text, "fault": the line of an
    ArtifactError, empty where there is none}.
    """
    console = SafeConsole(width=request["width"], force_terminal=request["terminal"])
    fault = ""
    with console.capture() as captured:
        try:
            write_study_report(
                Path(request["root"]), Path(request["study"]), request["stats"], console
            )
        except ArtifactError as error:
            fault = str(error)
    return {"printed": captured.get(), "fault": fault}


def write_study_report(
    root: Path,
    study: Path,
    stats: Mapping[str, Any],
    console: Console | None = None,
    *,
    also: Sequence[Path] = (),
    output: Path | None = None,
) -> Path:
    """Writes the budget and the report; prints the comparison and the report's path.

    Args:
        root: holds artifacts/ and runs/.
        study: the study's folder.
        stats: the resolved stats group.
        console: where to print.
        also: more studies, joined with it in one report.
        output: the report's folder; by default `report` in the study's, joined studies' folder
            being named after all of them.

    Returns:
        The report's page.

    Raises:
        ArtifactError: at its end, once all is written, where a run's files are not as they were
            written: the page leaves the run out, and the error has the way out.
    """
    # Before the budget is written: a refusal changes nothing.
    if output is not None:
        check_output(output)
    studies = [study, *also]
    joined = study.parent / "+".join(folder.name for folder in studies) / layout.REPORT
    # The last jobs of a study may end at once, and each of them writes the report.
    with FileLock(study / ".report.lock"):
        for folder in studies:
            record_look(root, folder, stats)
        warnings = [warning for folder in studies for warning in write_budget(root, folder)]
        index = build_report(studies, output or joined, stats)
    terminal = console or SafeConsole(width=120)
    records = [load_study([folder]) for folder in studies]
    for each in records:
        for renderable in make_terminal_tables(each):
            terminal.print(renderable)
    for warning in warnings:
        terminal.print(label_message("warning", "yellow", warning), soft_wrap=True)
    terminal.print(f"report: {index}", soft_wrap=True)
    if unreadable := [line for each in records for line in list_unreadable_runs(each)]:
        raise ArtifactError(f"The report leaves out what it cannot read. {' '.join(unreadable)}")
    return index
