"""A table as LaTeX that a two-column paper takes as it is: booktabs, tabularx, no packages beside.

A table that is narrower than a column is a `table`, any other a `table*`; one that is wider than
the page, or longer, is several. Columns of text take what room the numbers leave, and wrap.
"""

import re
import textwrap
import unicodedata
from collections.abc import Sequence
from dataclasses import replace

from kvdistill.report.table import ReportTable, TableCell
from kvdistill.report.wide_table import PADDING, measure_columns, split_columns

PAGE_CHARACTERS = 98
"""Of footnotesize across both columns: 430 pt, the narrowest text of the usual classes."""
COLUMN_CHARACTERS = 44
"""The same of one column."""
MAX_ROWS = 40
"""Rows of one float; as many more stand in the next."""
ESCAPES = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "|": r"\textbar{}", "<": r"$<$", ">": r"$>$",
    # At the start of a row LaTeX would read these as an option of the row before.
    "[": r"{[}", "]": r"{]}", "*": r"{*}",
    # Names have no spaces: they break after these.
    "_": r"\_\allowbreak{}", "=": r"=\allowbreak{}", ".": r".\allowbreak{}", "/": r"/\allowbreak{}",
    ",": r",\allowbreak{}", "+": r"+\allowbreak{}",
    "\u00b1": r"$\pm$", "\u2212": r"$-$", "\u2192": r"$\to$", "\u2020": r"$^\dagger$",
    "\u2248": r"$\approx$", "\u2014": "---", "\u2013": "--", "\u2265": r"$\ge$", "\u2264": r"$\le$",
    "\u2229": r"$\cap$", "\u222a": r"$\cup$", "\u00d7": r"$\times$", "\u00b7": r"$\cdot$",
    "\u00b2": r"$^2$", "\u0394": r"$\Delta$", "\u2026": r"\dots{}", "\u2190": r"$\leftarrow$",
    "\u2039": r"$\langle$", "\u203a": r"$\rangle$", "\n": " ", "\t": " ",
}  # fmt: skip


def to_latex(table: ReportTable) -> str:
    """The floats of a table, its caption taking the note: n, test and correction."""
    floats = [
        format_float(replace(part, rows=rows), is_first=n == 0)
        for part in split_columns(table, PAGE_CHARACTERS)
        for n, rows in enumerate(chunk_rows(part.rows))
    ]
    return "% \\usepackage{booktabs,tabularx}\n" + "\n".join(floats)


def chunk_rows(
    rows: Sequence[Sequence[TableCell]],
) -> list[Sequence[Sequence[TableCell]]]:
    """The rows of each float; one without rows where there are none."""
    return [rows[i : i + MAX_ROWS] for i in range(0, max(len(rows), 1), MAX_ROWS)]


def format_float(table: ReportTable, is_first: bool) -> str:
    """One float. What is continued says so, and has neither note nor a label of its own."""
    widths = measure_columns(table)
    is_narrow = sum(width + PADDING for width in widths) <= COLUMN_CHARACTERS
    float_name = "table" if is_narrow else "table*"
    note = f" {table.note}" if table.note and is_first else ""
    caption = escape_latex(f"{table.caption}{'' if is_first else ', continued'}.{note}")
    label = rf"\label{{tab:{re.sub(r'[^A-Za-z0-9]+', '-', table.name)}}}"
    titles = [
        format_heading(title, width, is_right)
        for title, width, is_right in zip(table.columns, widths, table.align_right(), strict=True)
    ]
    lines = [
        rf"\begin{{{float_name}}}",
        r"\centering\footnotesize\setlength{\tabcolsep}{3pt}",
        rf"\caption{{{caption}}}",
        *([label] if is_first else []),
        rf"\begin{{tabularx}}{{\linewidth}}{{{format_alignment(table)}}}",
        r"\toprule",
        " & ".join(titles) + r" \\",
        r"\midrule",
        *(" & ".join(format_cell(cell) for cell in row) + r" \\" for row in table.rows),
        r"\bottomrule",
        r"\end{tabularx}",
        rf"\end{{{float_name}}}",
    ]
    return "\n".join(lines) + "\n"


def format_alignment(table: ReportTable) -> str:
    """A letter a column: numbers as wide as they are; texts, or else the first, share the rest."""
    right = table.align_right()
    wraps = [not is_right for is_right in right] if not all(right) else [True, *right[1:]]
    text = r">{\raggedright\arraybackslash}X"
    return "".join(text if wrap else "r" for wrap in wraps)


def format_heading(title: str, width: int, is_right: bool) -> str:
    """The heading of a column of numbers is broken into lines, for LaTeX breaks none there."""
    lines = textwrap.wrap(title, max(width, 1), break_long_words=False) or [""]
    if not is_right or len(lines) == 1:
        return escape_latex(title)
    return r"\shortstack[r]{" + r"\\".join(map(escape_latex, lines)) + "}"


def format_cell(cell: TableCell) -> str:
    """The cell's text; the best of a column is bold."""
    text = escape_latex(cell.text)
    return rf"\textbf{{{text}}}" if cell.mark == "best" else text


def escape_latex(text: str) -> str:
    """The text as pdflatex sets it; a letter that it has no font for by its code point."""
    # Letter by letter: a replacement's own backslash and braces must not be escaped again.
    return "".join(
        ESCAPES.get(letter) or (letter if has_font(letter) else name_letter(letter))
        for letter in text
    )


def has_font(letter: str) -> bool:
    """ASCII, and letters of Latin alphabets, which LaTeX knows without a package."""
    if letter.isascii():
        return letter.isprintable()
    return ord(letter) < 0x180 and unicodedata.category(letter).startswith("L")


def name_letter(letter: str) -> str:
    """U+4E2D: what is not in LaTeX's fonts is named, never left out."""
    return f"U+{ord(letter):04X}\\allowbreak{{}}"
