"""What a command ends with."""

from rich.console import Console

from kvdistill.plan.labels.withdrawal import withdraw_runs
from kvdistill.report.terminal import make_terminal_tables
from kvdistill.stats.load import load_study
from tests.stats import fake


def print_tables(folder, width=120):
    console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    with console.file:
        for part in make_terminal_tables(load_study([folder])):
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


def test_a_long_label_folds_and_leaves_the_scores_their_columns(tmp_path):
    label = "multi_teacher (fusion=learnable train.lr=0.5 compression=full layers=shallow)"
    text = print_tables(fake.write_study(tmp_path, {"q": {"a": -0.9, label: 0.2}}))
    assert "arithmetic" in text
    assert "average" in text
    (row,) = [line for line in text.splitlines() if line.startswith(" multi_teacher")]
    assert row.count("\u00b1") == 8  # seven tasks and the average, none cut


def test_what_was_withdrawn_is_said_under_the_table(tmp_path):
    folder = fake.write_study(tmp_path, {"q": {"a": 0.0, "b": 0.1}})
    withdraw_runs(tmp_path, folder, "a wrong rate", label="b")
    text = print_tables(folder)
    assert "Withdrawn: b was withdrawn on" in text
    assert "a wrong rate" in text


def test_what_is_missing_is_said_under_the_table(tmp_path):
    folder = fake.write_study(tmp_path, {"q": {"a": 0.0}}, unfinished=[("a", 43)])
    text = print_tables(folder)
    assert "Missing: a: seed 43 (running)" in text
    assert "2 done" in text
