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


def test_multirun_may_stand_between_overrides(monkeypatch, tmp_path):
    seen = []
    (tmp_path / "sweeps").mkdir()
    monkeypatch.setattr("sys.argv", ["launch.py", "seed=1,2", "-m", "stage=plan"])
    main.let_hydra_read(lambda: seen.extend(main.sys.argv), tmp_path)
    assert seen == ["launch.py", "-m", "seed=1,2", "stage=plan"]


@pytest.mark.usefixtures("hydra")
@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("stage=paln", "stage=paln is no stage. Did you mean plan? Choose one of run, tune"),
        ("fusion=learnabel", "no choice of fusion. Did you mean learnable? Choose one of best"),
        ("sweep=baseline", "sweeps/. Did you mean baselines? Choose one of "),
        ("stage=zzz", "stage=zzz is no stage. Choose one of run, tune"),
    ],
)
def test_a_misspelt_choice_is_answered_by_the_nearest(override, says, request):
    sweeps = request.config.rootpath / "sweeps"
    with pytest.raises(ConfigError) as refusal:
        main.execute_stage([[override]], sweeps)
    assert says in str(refusal.value)
