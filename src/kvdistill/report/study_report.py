"""What a study says of itself once jobs have ended: its budget and its report."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock
from rich.console import Console

from kvdistill.console import SafeConsole, label_message
from kvdistill.report import budget_table
from kvdistill.report.build import build, check_output
from kvdistill.report.terminal import make_terminal_tables


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
    """
    if output is not None:
        check_output(output)
    studies = [study, *also]
    joined = study.parent / "+".join(folder.name for folder in studies) / "report"
    with FileLock(study / ".report.lock"):
        warnings = [warning for one in studies for warning in budget_table.write_budget(root, one)]
        index = build(studies, output or joined, stats)
    terminal = console or SafeConsole(width=120)
    for one in studies:
        for part in make_terminal_tables(one):
            terminal.print(part)
    for warning in warnings:
        terminal.print(label_message("warning", "yellow", warning), soft_wrap=True)
    terminal.print(f"report: {index}", soft_wrap=True)
    return index
