"""What others wrote is shown, and does nothing: no markup, no control of the terminal."""

import io
from pathlib import Path

import pytest

HOSTILE = "[red]a[/] [link=file:///etc]b[/link] [1,2] :warning: \x1b]8;;http://x\x07\x1b[2J\u202ec\r\x9b1A"
"""Markup, a list in brackets, an emoji's name, a link, a wiped screen, a turned line, C1."""
ACTING = ("\x1b", "\x07", "\u202e", "\r", "\x9b")


def render_text(*renderables: object, **settings: object) -> str:
    from kvdistill.console import SafeConsole

    screen = SafeConsole(width=300)
    screen.file = io.StringIO()
    for each in renderables:
        screen.print(each, **settings)
    return screen.file.getvalue()


def test_plain_text_tables_titles_and_rules_do_nothing() -> None:
    from rich.rule import Rule
    from rich.table import Table
    from rich.text import Text

    from kvdistill.console import label_message

    table = Table(HOSTILE, title=HOSTILE, caption=HOSTILE)
    table.add_row(HOSTILE)
    table.add_row(Text(HOSTILE))
    for each in (HOSTILE, table, Rule(HOSTILE), label_message("error", "red", HOSTILE)):
        text = render_text(each)
        assert not any(letter in text for letter in ACTING), repr(text)
        assert "[red]a[/]" in text
        assert "[1,2] :warning:" in text
        assert "\u2039U+001B\u203a" in text


def test_every_console_of_the_project_is_this_one() -> None:
    source = Path(__file__).parents[1] / "src"
    makers = [p.name for p in source.rglob("*.py") if " Console(" in p.read_text(encoding="utf-8")]
    assert makers == []


@pytest.mark.parametrize("form", ["plain", "json"])
def test_a_status_for_a_pipe_is_one_line_a_run_below_its_columns(
    form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from kvdistill.cli.status import print_lines
    from kvdistill.plan.study_plan import Question, RunEntry, StudyPlan
    from kvdistill.status import StatusWriter

    entry = RunEntry("runs/s/runs/seed0-a", "sft", 0, recipe="r", trained=True, steps=4)
    question = Question("?", arms={f"fusion=\n{HOSTILE}\tz": {"0": "a"}})
    study = tmp_path / "runs/s"
    StudyPlan("s", questions={"q": question}, runs={"a": entry}).write(study)
    (tmp_path / entry.folder).mkdir(parents=True)
    StatusWriter(tmp_path / entry.folder).write("failed", error=f"x\n{HOSTILE}")
    print_lines(tmp_path, study, form)
    text = capsys.readouterr().out
    assert not any(letter in text for letter in ACTING), repr(text)
    if form == "json":
        assert text.count("\n") == 1
        return
    header, row, end = text.split("\n")
    assert header.split("\t")[:4] == ["run", "arm", "seed", "state"]
    assert header.count("\t") == row.count("\t")
    assert end == ""


def test_no_secret_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from kvdistill.cli.main import print_error
    from kvdistill.console import write_stderr
    from kvdistill.status import StatusWriter

    monkeypatch.setenv("HF_TOKEN", "a-secret-of-mine")
    line = "GET https://me:word@hub/x with a-secret-of-mine failed"
    write_stderr(line)
    assert print_error(line, 1) == 1
    StatusWriter(tmp_path).write("failed", error=line)
    output = capsys.readouterr().err + (tmp_path / "status.json").read_text()
    assert output.count("https://***@hub/x with ***") == 3
    assert "a-secret-of-mine" not in output
