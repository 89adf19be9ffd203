"""LaTeX that a two-column paper takes as it is, set by a real pdflatex where there is one."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from kvdistill.report.latex import MAX_ROWS, escape_latex, to_latex
from kvdistill.report.table import ReportTable, TableCell

PDFLATEX = shutil.which("pdflatex")
HOSTILE = (
    r"[x] \input{/etc/passwd} $a_b^c$ %&#~{} |*| " + "\u8bb0\u5f97 \u00e9 \u2229 \u202e `\"'<>"
)
NUMBERS = [TableCell("1.5\u00b10.2", 1.5, "best"), TableCell("\u2248 0.3\u2212", 0.3)]
ROLE = "teachers.b.projection=low_rank"
WIDE_ROW = [TableCell(ROLE), *(NUMBERS * 9), TableCell("so it is " * 30)]
TABLES = [
    ReportTable(
        "small", "Scores & more", ["arm", "x_1"], [[TableCell("50% | off_\\"), NUMBERS[0]]], "n=3"
    ),
    ReportTable(
        "hostile", HOSTILE, [HOSTILE, "x"], [[TableCell(HOSTILE), NUMBERS[0]]] * 3, HOSTILE
    ),
    ReportTable(
        "wide",
        "All",
        ["arm", *(f"a number of kind {n}" for n in range(18)), "remarks"],
        [WIDE_ROW] * 4,
        numeric=[False, *[True] * 18, False],
    ),
    ReportTable("long", "Every run", ["arm", "seed"], [[TableCell(ROLE), TableCell("7", 7)]] * 100),
    ReportTable(
        "texts",
        "Why",
        ["arm", "reason"],
        [[TableCell("a"), TableCell("b " * 99)]],
        numeric=[False, False],
    ),
]


def test_it_escapes_and_uses_booktabs():
    text = to_latex(TABLES[0])
    assert (
        r"50\% \textbar{} off\_\allowbreak{}\textbackslash{} & \textbf{1.\allowbreak{}5$\pm$0."
        in text
    )
    assert r"\caption{Scores \& more.\allowbreak{} n=\allowbreak{}3}" in text
    assert [rule in text for rule in (r"\toprule", r"\midrule", r"\bottomrule")] == [True] * 3


def test_no_letter_without_a_font_is_left_raw():
    assert escape_latex("a \u2229 b \u8bb0") == r"a $\cap$ b U+8BB0\allowbreak{}"
    assert escape_latex("\u00e9t\u00e9") == "\u00e9t\u00e9"
    assert escape_latex("[1]") == r"{[}1{]}", "a row may begin with it"


def test_what_fits_a_column_is_a_table_and_what_does_not_spans_both():
    assert r"\begin{table}" in to_latex(TABLES[0])
    wide = to_latex(TABLES[2])
    assert r"\begin{table}" not in wide
    assert wide.count(r"\begin{table*}") > 1


def test_a_long_table_is_several_floats_with_one_label():
    text = to_latex(TABLES[3])
    assert text.count(r"\begin{tabularx}") == -(-100 // MAX_ROWS)
    assert text.count(r"\label") == 1
    assert text.count("continued") == 2


@pytest.mark.skipif(PDFLATEX is None, reason="no pdflatex on this machine")
def test_a_two_column_paper_compiles_with_every_table(tmp_path: Path):
    for table in TABLES:
        (tmp_path / f"{table.name}.tex").write_text(to_latex(table), encoding="utf-8")
    inputs = "\n".join(rf"\input{{{table.name}}}" for table in TABLES)
    (tmp_path / "paper.tex").write_text(
        "\\documentclass[twocolumn]{article}\n\\usepackage{booktabs,tabularx}\n"
        f"\\begin{{document}}\n{inputs}\n\\end{{document}}\n",
        encoding="utf-8",
    )
    command = [PDFLATEX, "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=100, check=False)
    log = done.stdout.decode("utf-8", "replace")
    assert done.returncode == 0, log[-2000:]
    too_wide = [float(points) for points in re.findall(r"Overfull \\hbox \(([\d.]+)pt", log)]
    assert max(too_wide, default=0.0) < 5, "no table sticks out of its column"
