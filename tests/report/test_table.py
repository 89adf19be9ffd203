"""One table, four formats."""

import csv
import io

import pytest

from kvdistill.report.table import Grid, Value, comma_separated, file_name, latex, markdown

GRID = Grid(
    "a/b",
    "Scores & more",
    ["arm", "x_1"],
    [[Value("50% | off_\\"), Value("1.5\u00b10.2", 1.5, "best")], [Value("=2+2"), Value("\u2014")]],
    note="n=3",
)


def test_csv_reads_back_and_holds_no_formula():
    rows = list(csv.reader(io.StringIO(comma_separated(GRID))))
    assert rows[1] == ["50% | off_\\", "1.5\u00b10.2"]
    assert rows[2][0] == "'=2+2"


def test_markdown_keeps_its_columns_whatever_a_cell_says():
    lines = markdown(GRID).splitlines()
    assert lines[2] == r"| arm | x\_1 |"
    assert lines[3] == "| :--- | ---: |"
    assert r"50% \| off\_\\" in lines[4]
    assert "**1.5\u00b10.2**" in lines[4]


def test_latex_escapes_and_uses_booktabs():
    text = latex(GRID)
    assert r"50\% | off\_\textbackslash{} & \textbf{1.5$\pm$0.2} \\" in text
    assert r"\caption{Scores \& more. n=3}" in text
    assert [rule in text for rule in (r"\toprule", r"\midrule", r"\bottomrule")] == [True] * 3


@pytest.mark.parametrize(("name", "expected"), [("a/b: c", "a_b_c"), ("..", "table"), ("x", "x")])
def test_names_become_file_names(name, expected):
    assert file_name(name) == expected
