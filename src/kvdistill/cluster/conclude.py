"""What a study says of itself once jobs have ended: its budget and its report."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock
from rich.console import Console

from kvdistill.cluster import ledger
from kvdistill.report.terminal import tables
from kvdistill.report.write import build


def conclude(
    root: Path, study: Path, stats: Mapping[str, Any], console: Console | None = None
) -> Path:
    """Writes the budget and the report; prints the comparison and the report's path."""
    with FileLock(study / ".report.lock"):
        ledger.write(root, study)
        index = build([study], study / "report", stats)
    shown = console or Console(highlight=False, width=120)
    for part in tables(study):
        shown.print(part)
    shown.print(f"report: {index}", soft_wrap=True)
    return index
