"""A table that is wider than its place, as several below each other: no column is cut off."""

from collections.abc import Sequence
from dataclasses import replace

from kvdistill.report.table import ReportTable

PAGE_CHARACTERS = 138
"""Of a line of table text, across the page at 1280 px."""
PADDING = 2.5
"""Characters that a column's own margins take."""
MAX_TEXT = 34
"""Characters after which a column of text is wrapped."""
MAX_KEYS = 3
"""Leading columns that say what a row is about, at most."""


def split_columns(table: ReportTable, most: int = PAGE_CHARACTERS) -> list[ReportTable]:
    """The table, or parts of it that are at most `most` characters wide and each name their rows.

    A part has the columns that say what a row is about, and those that follow the part before. The
    last has the note. A single column that is wider stays whole.
    """
    widths = [width + PADDING for width in measure_columns(table)]
    keys = list(range(count_keys(table)))
    if sum(widths) <= most or len(keys) == len(widths):
        return [table]
    room = most - sum(widths[key] for key in keys)
    groups: list[list[int]] = [[]]
    for column in range(len(keys), len(widths)):
        if groups[-1] and sum(widths[each] for each in [*groups[-1], column]) > room:
            groups.append([])
        groups[-1].append(column)
    parts = [select_columns(table, [*keys, *group]) for group in groups]
    captions = [f"{table.caption} ({n} of {len(parts)})" for n in range(1, len(parts) + 1)]
    notes = [*[""] * (len(parts) - 1), table.note]
    return [
        replace(part, name=f"{table.name}_{n}", caption=caption, note=note)
        for n, (part, caption, note) in enumerate(zip(parts, captions, notes, strict=True), 1)
    ]


def measure_columns(table: ReportTable) -> list[int]:
    """Characters that each column needs: headings break between words, long texts anywhere."""
    widths = []
    for column, (title, is_right) in enumerate(
        zip(table.columns, table.align_right(), strict=True)
    ):
        heading = max(map(len, title.split()), default=0)
        text = max((len(row[column].text) for row in table.rows), default=0)
        widths.append(max(heading, text if is_right else min(text, MAX_TEXT)))
    return widths


def count_keys(table: ReportTable) -> int:
    """How many leading columns say what a row is about: texts, before the first number."""
    right = table.align_right()
    leading = right.index(True) if True in right else 1
    return max(1, min(leading, MAX_KEYS))


def select_columns(table: ReportTable, columns: Sequence[int]) -> ReportTable:
    """The table with these columns alone."""
    right = table.align_right()
    return replace(
        table,
        columns=[table.columns[column] for column in columns],
        rows=[[row[column] for column in columns] for row in table.rows],
        numeric=[right[column] for column in columns],
    )
