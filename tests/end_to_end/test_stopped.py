"""A local command that is told to end: by Ctrl-C, by SIGTERM, by a closed terminal."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.end_to_end.test_launch import TWO
from tests.launch_server import ROOT

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    "how",
    [
        signal.SIGTERM,
        pytest.param(signal.SIGINT, marks=pytest.mark.slow),
        pytest.param(signal.SIGHUP, marks=pytest.mark.slow),
    ],
)
def test_its_jobs_end_with_it_and_it_says_how_to_go_on(tmp_path: Path, how: signal.Signals) -> None:
    command = subprocess.Popen(
        # A shell's background job ignores Ctrl-C, and would hand that on.
        [
            "env",
            f"--default-signal={how.name[3:]}",
            sys.executable,
            "launch.py",
            f"root={tmp_path}",
            *TWO,
        ],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": "src", "OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )
    while not any('"running"' in one.read_text() for one in tmp_path.glob("*/*/status.json")):
        assert command.poll() is None
        time.sleep(0.05)
    jobs = psutil.Process(command.pid).children(recursive=True)
    command.send_signal(how)  # to it alone: its jobs hear of it from it
    _, stderr = command.communicate(timeout=60)
    assert command.returncode == 130
    assert "Interrupted. Repeat the command to continue." in stderr
    _, alive = psutil.wait_procs(jobs, timeout=20)
    assert not alive
