"""What a command ends with: the study's tables as rich renderables."""

from collections.abc import Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table as RichTable
from rich.text import Text

from kvdistill.stats.study import MACRO
from kvdistill.stats.summary import Table


def tables(found: Sequence[Table], report: Path | None = None) -> RenderableType:
    """One table a question, what is missing under it, and where the report lies."""
    parts: list[RenderableType] = []
    for table in found:
        parts.append(grid(table))
        if table.missing:
            parts.append(Text(f"Missing: {'; '.join(table.missing)}", style="yellow"))
    if report is not None:
        parts.append(Text(f"Report: {report}"))
    return Group(*parts)


def grid(table: Table) -> RichTable:
    """Arms x tasks in percent, mean and standard deviation over seeds; the best of a column bold."""
    prefix = common_prefix(table.endpoints[:-1])
    view = RichTable(title=escape(table.text), title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    view.add_column("arm", overflow="fold")
    for endpoint in table.endpoints:
        name = "average" if endpoint == MACRO else endpoint.removeprefix(prefix)
        view.add_column(escape(name), justify="right", overflow="fold")
    best = {endpoint: table.best(endpoint) for endpoint in table.endpoints}
    for label, cells in table.rows.items():
        style = "dim" if label in table.references else ""
        texts = [
            Text(
                cells[endpoint].text() if cells[endpoint].mean is not None else short(cells[endpoint]),
                style="bold" if best[endpoint] == label else "",
            )
            for endpoint in table.endpoints
        ]
        view.add_row(Text(label), *texts, style=style)
    return view


def short(cell: object) -> str:
    """An unfinished cell: what is missing is named under the table."""
    values = getattr(cell, "values", ())
    return f"{len(values)} done" if values else "-"


def common_prefix(names: Sequence[str]) -> str:
    """What all task names begin with, up to an underscore: `nano_`."""
    heads = {name.split("_", 1)[0] for name in names if "_" in name}
    if len(heads) == 1 and all("_" in name for name in names) and len(names) > 1:
        return heads.pop() + "_"
    return ""
