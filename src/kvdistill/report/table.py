"""A table once, written four ways: in the page, as CSV, Markdown and LaTeX (booktabs)."""

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from kvdistill.files import write_text


@dataclass(frozen=True)
class TableCell:
    """One cell: what is read, and what is sorted by."""

    text: str
    sort: float | int | None = None
    mark: str = ""
    """best, tie, missing, good, bad, faint: a class in the page, bold or a dagger in print."""
    title: str = ""
    """Shown on hover: per-seed values, or what is missing."""


@dataclass(frozen=True)
class ReportTable:
    """A caption, columns and rows."""

    name: str
    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[TableCell]]
    note: str = ""
    numeric: Sequence[bool] = field(default_factory=list)
    """A column each; right-aligned where true. By default all but the first."""

    def align_right(self) -> list[bool]:
        """Whether each column is right-aligned."""
        return list(self.numeric) or [i > 0 for i in range(len(self.columns))]


def to_csv(grid: ReportTable) -> str:
    """RFC 4180 with a header. A leading = + - @ of a text is quoted off: no formulas."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(grid.columns)
    for row in grid.rows:
        writer.writerow([escape_formula(value) for value in row])
    return text.getvalue()


def escape_formula(value: TableCell) -> str:
    if value.sort is None and value.text[:1] in ("=", "+", "-", "@", "\t"):
        return f"'{value.text}"
    return value.text


def to_markdown(grid: ReportTable) -> str:
    """A GitHub table, best values bold."""

    def cell(value: TableCell) -> str:
        text = re.sub(r"([|\\`*_<>\[\]])", r"\\\1", " ".join(value.text.split()))
        return f"**{text}**" if value.mark == "best" else text

    head = [cell(TableCell(column)) for column in grid.columns]
    rule = ["---:" if is_right else ":---" for is_right in grid.align_right()]
    lines = [head, rule, *([cell(value) for value in row] for row in grid.rows)]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{grid.caption}\n\n{table}\n" + (f"\n{grid.note}\n" if grid.note else "")


LATEX_ESCAPES = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "\u00b1": r"$\pm$", "\u2212": r"$-$", "\u2192": r"$\to$", "<": r"$<$", ">": r"$>$",
    "\u2020": r"$^\dagger$", "\u2248": r"$\approx$", "\u2014": "---", "\u2265": r"$\ge$",
    "\u2264": r"$\le$",
}  # fmt: skip


def to_latex(grid: ReportTable) -> str:
    """A booktabs table; the caption says n, test and correction."""

    def cell(value: TableCell) -> str:
        text = "".join(LATEX_ESCAPES.get(letter, letter) for letter in value.text)
        return rf"\textbf{{{text}}}" if value.mark == "best" else text

    align = "".join("r" if is_right else "l" for is_right in grid.align_right())
    caption = cell(TableCell(" ".join(f"{grid.caption}. {grid.note}".split())))
    lines = [
        r"\begin{table}",
        rf"\caption{{{caption}}}",
        rf"\label{{tab:{re.sub(r'[^A-Za-z0-9]+', '-', grid.name)}}}",
        rf"\begin{{tabular}}{{{align}}}",
        r"\toprule",
        " & ".join(cell(TableCell(column)) for column in grid.columns) + r" \\",
        r"\midrule",
        *(" & ".join(cell(value) for value in row) + r" \\" for row in grid.rows),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def write_table(grid: ReportTable, folder: Path) -> None:
    """tables/NAME.csv, .md and .tex."""
    name = make_file_name(grid.name)
    write_text(folder / f"{name}.csv", to_csv(grid))
    write_text(folder / f"{name}.md", to_markdown(grid))
    write_text(folder / f"{name}.tex", to_latex(grid))


def make_file_name(text: str) -> str:
    """A name that is a file name everywhere."""
    return re.sub(r"[^A-Za-z0-9_.+-]+", "_", text).strip("._") or "table"


def mean_or_none(values: Sequence[float | int | None]) -> float | None:
    """The mean; None where there is nothing, or a part of it is missing."""
    known_values = [value for value in values if value is not None]
    return (
        float(np.mean(known_values)) if known_values and len(known_values) == len(values) else None
    )
