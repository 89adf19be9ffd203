"""No column of a wide table is cut off: what does not fit stands below, with what its rows are."""

from kvdistill.report.table import ReportTable, TableCell
from kvdistill.report.wide_table import split_columns


def make_table(numbers: int, width: int = 12, keys: int = 1) -> ReportTable:
    row = [*(TableCell(f"key {n}") for n in range(keys)), *[TableCell("9" * width, 9)] * numbers]
    columns = [*(f"k{n}" for n in range(keys)), *(f"c{n}" for n in range(numbers))]
    right = [*[False] * keys, *[True] * numbers]
    return ReportTable("t", "Much", columns, [row], note="n=3", numeric=right)


def test_a_table_that_fits_is_itself():
    table = make_table(3)
    assert split_columns(table) == [table]


def test_every_column_stands_in_one_part_and_the_first_in_all():
    parts = split_columns(make_table(20))
    assert len(parts) == 3
    assert [part.columns[0] for part in parts] == ["k0"] * 3
    rest = [column for part in parts for column in part.columns[1:]]
    assert rest == [f"c{n}" for n in range(20)]
    assert parts[0].caption == "Much (1 of 3)"
    assert [part.note for part in parts] == ["", "", "n=3"]


def test_all_that_names_a_row_stands_in_each_part():
    parts = split_columns(make_table(20, keys=2))
    assert {tuple(part.columns[:2]) for part in parts} == {("k0", "k1")}


def test_headings_break_between_words_and_long_texts_anywhere():
    table = ReportTable(
        "t", "T", ["arm", "a heading of many words " * 8, "remark"],
        [[TableCell("a"), TableCell("1", 1), TableCell("so " * 90)]], numeric=[False, True, False],
    )  # fmt: skip
    assert split_columns(table) == [table]


def test_a_column_that_is_wider_than_the_page_stays_whole():
    parts = split_columns(make_table(2, width=400))
    assert [len(part.columns) for part in parts] == [2, 2]
