"""A home that cannot be written stops nothing that needs none; what does is told how to move it."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kvdistill.cache_folders import (
    CACHES,
    can_write_below,
    explain_unwritable_cache,
    list_unwritable_caches,
)

ROOT = Path(__file__).parents[1]
# Root may write anywhere, but makes no folder below a file.
NO_HOME = "/dev/null"


@pytest.fixture
def no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    for cache in CACHES:
        monkeypatch.delenv(cache.variable, raising=False)
        if cache.base != "HOME":
            monkeypatch.delenv(cache.base, raising=False)
    monkeypatch.setenv("HOME", NO_HOME)


def launch(tmp_path: Path, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """A command of a user without a home."""
    kept = {key: value for key, value in os.environ.items() if "HOME" not in key}
    return subprocess.run(
        [sys.executable, str(ROOT / "launch.py"), *arguments, f"root={tmp_path}/root"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**kept, "PYTHONPATH": str(ROOT / "src"), "HOME": NO_HOME, **variables},
    )  # fmt: skip


@pytest.mark.integration
def test_a_sweep_needs_no_home_and_leaves_no_notes(tmp_path: Path) -> None:
    done = launch(tmp_path, "-m", "stage=status", "seed=1,2")
    assert "Error" not in done.stderr
    assert done.returncode == 2  # no such study, as from any home
    assert "study" in done.stderr
    assert not (tmp_path / "multirun.yaml").exists()


def test_every_folder_is_listed_and_each_variable_moves_its_own(
    no_home: None, tmp_path: Path
) -> None:
    assert [cache for cache, _ in list_unwritable_caches(os.environ)] == list(CACHES)
    for cache in CACHES:
        moved = {**os.environ, cache.variable: str(tmp_path / "new")}
        assert cache not in [lost for lost, _ in list_unwritable_caches(moved)]
        assert len(list(list_unwritable_caches(moved))) == len(CACHES) - 1
        based = {**os.environ, cache.base: str(tmp_path)}
        assert cache not in [lost for lost, _ in list_unwritable_caches(based)]


def test_the_places_are_those_that_the_libraries_use(no_home: None, tmp_path: Path) -> None:
    """Asked of the libraries themselves, under each variable."""
    code = (
        "from huggingface_hub import constants; import matplotlib; "
        "print(constants.HF_HOME, matplotlib.get_configdir())"
    )
    names = ("HF_HOME", "MPLCONFIGDIR")
    caches = [cache for name in names for cache in CACHES if cache.variable == name]
    bases = {cache.base: f"{tmp_path}/{cache.base}" for cache in caches}
    for changed in ({"HOME": str(tmp_path)}, bases):
        environment = {**os.environ, **changed}
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True,
            env=environment,
        )  # fmt: skip
        assert done.stdout.split() == [str(cache.find_place(environment)) for cache in caches]


def test_an_error_below_the_home_names_what_moves_it(no_home: None, tmp_path: Path) -> None:
    error = NotADirectoryError(errno.ENOTDIR, "Not a directory", "/dev/null/.cache")
    wrapped = RuntimeError("loading failed")
    wrapped.__cause__ = error
    for raised in (error, wrapped):
        line = explain_unwritable_cache(raised)
        assert line is not None
        assert line.startswith("/dev/null/.cache cannot be written (Not a directory). Set HF_HOME")
        assert "HOME for all of them" in line
    other = FileNotFoundError(errno.ENOENT, "No such file", str(tmp_path / "data.json"))
    assert explain_unwritable_cache(other) is None
    assert explain_unwritable_cache(ValueError("x")) is None


def test_a_file_that_is_merely_missing_in_a_home_that_can_be_written_is_another_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    missing = tmp_path / "notes/data.json"
    assert can_write_below(missing.parent)
    error = FileNotFoundError(errno.ENOENT, "No such file", str(missing))
    assert explain_unwritable_cache(error) is None


def test_a_job_that_loads_a_models_own_code_needs_hf_home_alone(
    no_home: None, tmp_path: Path
) -> None:
    from kvdistill.jobs.__main__ import describe_failure

    error = NotADirectoryError(errno.ENOTDIR, "Not a directory", "/dev/null/.cache")
    code, line = describe_failure(error, tmp_path)
    assert code == 1
    assert "Set HF_HOME" in line
