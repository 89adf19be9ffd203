"""The files of a table: CSV, Markdown and LaTeX."""

from pathlib import Path

from kvdistill.files import write_text
from kvdistill.report.latex import to_latex
from kvdistill.report.table import ReportTable, make_file_name, to_csv, to_markdown


def write_table(table: ReportTable, folder: Path) -> None:
    """FOLDER/NAME.csv, .md and .tex."""
    name = make_file_name(table.name)
    write_text(folder / f"{name}.csv", to_csv(table))
    write_text(folder / f"{name}.md", to_markdown(table))
    write_text(folder / f"{name}.tex", to_latex(table))
