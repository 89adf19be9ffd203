"""What becomes of an exception that nothing below has put into words."""

import errno
import os

import pytest

from kvdistill.cli import main
from kvdistill.errors import ConfigError


@pytest.mark.usefixtures("hydra")
@pytest.mark.parametrize("key", ["study", "root"])
def test_a_command_fills_one_study_of_one_root(key, tmp_path):
    with pytest.raises(ConfigError, match=f"^{key} cannot be swept: it is where"):
        main.execute_stage([[f"{key}={tmp_path.name}{end}"] for end in "ab"], tmp_path)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "no space is left on the disk of root"),
        (ValueError("odd"), "ValueError: odd (HYDRA_FULL_ERROR=1 shows the traceback)"),
    ],
)
def test_it_is_one_line_and_exit_code_one(error, says, monkeypatch, capsys, tmp_path):
    def read(*_):
        raise error

    monkeypatch.setattr(main, "let_hydra_read", read)
    monkeypatch.setattr("sys.argv", ["launch.py"])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    assert main.run_command_line(lambda: None, tmp_path) == 1
    line = capsys.readouterr().err
    assert says in line
    assert line.count("\n") == 1
