"""A table and its cells, as CSV and as Markdown."""

import csv
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

DASH = "\u2014"
"""What a cell without a value shows."""


@dataclass(frozen=True)
class TableCell:
    """One cell: the text that is shown and the number that the page sorts its column by."""

    text: str
    sort: float | int | None = None
    mark: str = ""
    """best, tie, missing, good, bad, faint or hash: a CSS class in the page; best is bold in print.
    """
    title: str = ""
    """Shown on hover: per-seed values, or what is missing."""


@dataclass(frozen=True)
class ReportTable:
    """A caption, columns and rows, the first column naming what a row is about."""

    name: str
    """Its file in tables/, without an ending."""
    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[TableCell]]
    note: str = ""
    numeric: Sequence[bool] = field(default_factory=list)
    """A column each; right-aligned where true. By default all but the first."""

    def align_right(self) -> list[bool]:
        """Whether each column is right-aligned."""
        return list(self.numeric) or [i > 0 for i in range(len(self.columns))]


def to_csv(table: ReportTable) -> str:
    """RFC 4180 with a header row."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.columns)
    for row in table.rows:
        writer.writerow([escape_formula(cell) for cell in row])
    return text.getvalue()


def escape_formula(cell: TableCell) -> str:
    """The cell's text, quoted off where a spreadsheet would run it as a formula."""
    # Numbers keep their sign: +1.2 with a sort value comes from here, not from a model's output.
    if cell.sort is None and cell.text[:1] in ("=", "+", "-", "@", "\t"):
        return f"'{cell.text}"
    return cell.text


def to_markdown(table: ReportTable) -> str:
    """A GitHub table, best values bold."""

    def format_cell(cell: TableCell) -> str:
        text = re.sub(r"([|\\`*_<>\[\]])", r"\\\1", " ".join(cell.text.split()))
        return f"**{text}**" if cell.mark == "best" else text

    head = [format_cell(TableCell(column)) for column in table.columns]
    rule = ["---:" if is_right else ":---" for is_right in table.align_right()]
    lines = [head, rule, *([format_cell(cell) for cell in row] for row in table.rows)]
    body = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{table.caption}\n\n{body}\n" + (f"\n{table.note}\n" if table.note else "")


def make_file_name(text: str) -> str:
    """A name that is a file name everywhere."""
    # Names come from sweeps: no separator and no leading dot may leave the folder.
    return re.sub(r"[^A-Za-z0-9_.+-]+", "_", text).strip("._") or "table"


def make_number_cell(
    value: float | int | None, form: Callable[[float | int], str] = "{:.4g}".format
) -> TableCell:
    """The number as `form` writes it, sorted by itself; a dash for None, NaN and infinity."""
    if value is None or not np.isfinite(value):
        return TableCell(DASH)
    return TableCell(form(value), value)


def mean_or_none(values: Sequence[float | int | None]) -> float | None:
    """The mean; None where there is no value, or one of them is None."""
    numbers = [value for value in values if value is not None]
    # A mean over the runs that happen to have a value would be compared with means over all.
    return float(np.mean(numbers)) if numbers and len(numbers) == len(values) else None
