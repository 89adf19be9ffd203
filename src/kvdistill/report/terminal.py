"""What a command ends with: the study's tables as rich renderables."""

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from kvdistill.report.format import CLEAN_TITLE, title_tasks
from kvdistill.stats.arm_differences import describe_contrast, explain_undeclared
from kvdistill.stats.differences.base import ArmDifference
from kvdistill.stats.study import Study
from kvdistill.stats.summary import Cell, Table, build_tables

MAX_PROBLEMS = 20
"""The page has all."""
MAX_LABEL_WIDTH = 24
"""Characters of a label that are never folded."""


def make_terminal_tables(study: Study) -> list[RenderableType]:
    """One table a question, each with what it lacks; then what could not be read."""
    renderables: list[RenderableType] = []
    for table in build_tables(study):
        renderables.append(make_rich_table(table))
        renderables += [
            make_contrast_line(label, table.baseline, contrast)
            for label, contrast in table.contrasts.items()
        ]
        if table.missing:
            renderables.append(Text(f"Missing: {'; '.join(table.missing)}", style="yellow"))
        renderables += [Text(f"Withdrawn: {line}", style="yellow") for line in table.withdrawn]
    renderables += [Text(f"Problem: {line}", style="red") for line in study.problems[:MAX_PROBLEMS]]
    return renderables


def make_contrast_line(
    label: str, baseline: str, contrast: Sequence[ArmDifference]
) -> RenderableType:
    """What differs between an arm and the baseline; in red what no sweep declares."""
    head = f"{baseline} and {label} differ in "
    if undeclared := explain_undeclared(contrast):
        return Text(f"{head}{undeclared}", style="red")
    return Text(f"{head}{describe_contrast(contrast)}", style="dim")


def make_rich_table(table: Table) -> RichTable:
    """Arms x tasks in percent, mean and SD over seeds; the best of a column bold."""
    names = title_tasks(table.endpoints)
    view = RichTable(
        title=table.text,
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    # A label that says what differs may be long: it folds, so that scores keep their columns.
    is_long = max(map(len, table.rows), default=0) > MAX_LABEL_WIDTH
    view.add_column("arm", no_wrap=not is_long, overflow="fold")
    for endpoint in table.endpoints:
        view.add_column(names[endpoint], justify="right", overflow="fold")
    if table.clean:
        view.add_column(CLEAN_TITLE, justify="right", overflow="fold")
    best = {endpoint: table.best(endpoint) for endpoint in table.endpoints}
    for label, cells in table.rows.items():
        style = "dim" if label in table.references else ""
        # Text, not str: rich would read the brackets of a label as markup.
        texts = [
            Text(format_cell(cells[e]), style="bold" if best[e] == label else "")
            for e in table.endpoints
        ]
        texts += [Text(format_cell(table.clean[label]))] if table.clean else []
        view.add_row(Text(label), *texts, style=style)
    return view


def format_cell(cell: Cell) -> str:
    """The cell's score; how many runs are done where one is missing, which is named below."""
    if cell.mean is not None:
        return cell.text()
    return f"{len(cell.values)} done" if cell.values else "-"
