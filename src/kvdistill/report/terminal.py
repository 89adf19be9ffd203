"""What a command ends with: the study's tables as rich renderables."""

from collections.abc import Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from kvdistill.report.format import title_tasks
from kvdistill.stats.summary import Cell, Table, summary


def make_terminal_tables(study_folder: Path | Sequence[Path]) -> list[RenderableType]:
    """One table a question, and under it what is missing."""
    return [part for table in summary(study_folder) for part in make_table_parts(table)]


def make_table_parts(table: Table) -> list[RenderableType]:
    """A table and what it lacks."""
    missing = (
        [Text(f"Missing: {'; '.join(table.missing)}", style="yellow")] if table.missing else []
    )
    return [make_rich_table(table), *missing]


def make_rich_table(table: Table) -> RichTable:
    """Arms x tasks in percent, mean and SD over seeds; the best of a column bold."""
    names = title_tasks(table.endpoints)
    view = RichTable(title=table.text, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    view.add_column("arm", no_wrap=True)
    for endpoint in table.endpoints:
        view.add_column(names[endpoint], justify="right", overflow="fold")
    best = {endpoint: table.best(endpoint) for endpoint in table.endpoints}
    for label, cells in table.rows.items():
        style = "dim" if label in table.references else ""
        texts = [
            Text(
                cells[endpoint].text()
                if cells[endpoint].mean is not None
                else format_unfinished(cells[endpoint]),
                style="bold" if best[endpoint] == label else "",
            )
            for endpoint in table.endpoints
        ]
        view.add_row(Text(label), *texts, style=style)
    return view


def format_unfinished(cell: Cell) -> str:
    """An unfinished cell: what is missing is named under the table."""
    return f"{len(cell.values)} done" if cell.values else "-"
