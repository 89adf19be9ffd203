"""A test that no signal reaches ends all the same, by name, and the others are run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STUCK = """
import ctypes

import pytest


@pytest.mark.timeout(1)
def test_that_waits_in_c_with_the_gil_held():
    libc = ctypes.PyDLL(None)
    mutex = ctypes.create_string_buffer(64)  # of zeros: PTHREAD_MUTEX_INITIALIZER
    libc.pthread_mutex_lock(mutex)
    libc.pthread_mutex_lock(mutex)


@pytest.mark.timeout(1)
def test_that_waits_in_python():
    while True:
        pass


def test_that_does_not_wait():
    pass
"""


@pytest.mark.integration
def test_a_test_that_holds_the_gil_for_ever_is_ended_and_reported(tmp_path: Path) -> None:
    (tmp_path / "test_stuck.py").write_text(STUCK)
    plugins = ("xdist.plugin", "pytest_timeout", "tests.limits", "no:cacheprovider")
    options = (*(f"-p{name}" for name in plugins), "-n", "1", "--rootdir", tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *options, tmp_path / "test_stuck.py"],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=90,
        env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},  # three processes import them
    )  # fmt: skip
    output = done.stdout + done.stderr
    assert done.returncode == 1, output
    assert "crashed while running 'test_stuck.py::test_that_waits_in_c_with_the_gil_held'" in output
    assert "in test_that_waits_in_c_with_the_gil_held" in done.stderr
    assert "Failed: Timeout (>1.0s)" in output
    assert "2 failed, 1 passed" in output
