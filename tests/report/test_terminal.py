"""What a command ends with."""

from rich.console import Console

from kvdistill.report.terminal import make_terminal_tables
from tests.stats import fake


def print_tables(folder, width=120):
    console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    with console.file:
        for part in make_terminal_tables(folder):
            console.print(part)
        return console.export_text()


def test_a_table_a_question_with_mean_and_spread(tmp_path):
    folder = fake.write_study(tmp_path, {"q": {"raw_student": -0.9, "[b]b": 0.2}})
    text = print_tables(folder)
    assert "What does q bring?" in text
    assert "arithmetic" in text
    assert "average" in text
    assert "[b]b" in text
    assert "\u00b1" in text


def test_what_is_missing_is_said_under_the_table(tmp_path):
    folder = fake.write_study(tmp_path, {"q": {"a": 0.0}}, unfinished=[("a", 43)])
    text = print_tables(folder)
    assert "Missing: a: seed 43 (running)" in text
    assert "2 done" in text
