"""One table, in several formats."""

import csv
import io

import pytest

from kvdistill.report.table import (
    ReportTable,
    TableCell,
    make_file_name,
    to_csv,
    to_markdown,
)

GRID = ReportTable(
    "a/b",
    "Scores & more",
    ["arm", "x_1"],
    [
        [TableCell("50% | off_\\"), TableCell("1.5\u00b10.2", 1.5, "best")],
        [TableCell("=2+2"), TableCell("\u2014")],
    ],
    note="n=3",
)


def test_csv_reads_back_and_holds_no_formula():
    rows = list(csv.reader(io.StringIO(to_csv(GRID))))
    assert rows[1] == ["50% | off_\\", "1.5\u00b10.2"]
    assert rows[2][0] == "'=2+2"


def test_markdown_keeps_its_columns_whatever_a_cell_says():
    lines = to_markdown(GRID).splitlines()
    assert lines[2] == r"| arm | x\_1 |"
    assert lines[3] == "| :--- | ---: |"
    assert r"50% \| off\_\\" in lines[4]
    assert "**1.5\u00b10.2**" in lines[4]


@pytest.mark.parametrize(("name", "expected"), [("a/b: c", "a_b_c"), ("..", "table"), ("x", "x")])
def test_names_become_file_names(name, expected):
    assert make_file_name(name) == expected
