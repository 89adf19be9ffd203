"""What was typed, as a shell may read it again in another checkout."""

import shlex

import pytest

from kvdistill.plan.command_line import retype_command


def test_it_is_the_same_words_less_where_output_went() -> None:
    words = ["-m", "fusion=fixed,learnable", "data.split.salt='a $HOME; b'", "teachers=[a,b]"]
    line = retype_command(["/home/me/kvdistill/launch.py", "root=/scratch/me", *words])
    assert shlex.split(line) == ["python", "launch.py", *words]


def test_another_program_retells_nothing() -> None:
    assert retype_command(["/usr/bin/pytest", "tests"]) == ""
    assert retype_command([]) == ""


def test_a_token_is_not_retold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "a-very-secret-word")
    assert "secret" not in retype_command(["launch.py", "+x=a-very-secret-word"])
