"""A local command that is told to end: by Ctrl-C, by SIGTERM, by a closed terminal."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.end_to_end.test_launch import TINY, TWO
from tests.launch_server import ROOT

pytestmark = pytest.mark.integration


def start_command(how: signal.Signals, *arguments: str) -> "subprocess.Popen[str]":
    """`python launch.py` in a session of its own, which answers the signal."""
    return subprocess.Popen(
        # A shell's background job ignores Ctrl-C, and would hand that on.
        ["env", f"--default-signal={how.name[3:]}", sys.executable, "launch.py", *arguments],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": "src", "OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )


@pytest.mark.parametrize(
    "how",
    [
        signal.SIGTERM,
        pytest.param(signal.SIGINT, marks=pytest.mark.slow),
        pytest.param(signal.SIGHUP, marks=pytest.mark.slow),
    ],
)
def test_its_jobs_end_with_it_and_it_says_how_to_go_on(tmp_path: Path, how: signal.Signals) -> None:
    command = start_command(how, f"root={tmp_path}", *TWO)
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


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_training_is_saved_at_its_step_and_goes_on_there(
    tmp_path: Path, how: signal.Signals
) -> None:
    one = [
        f"root={tmp_path}", *TINY[:-1], "arm=sft", "references=false", "budget.total_tokens=61440",
        "train.save_steps=1000",
    ]  # fmt: skip
    command = start_command(how, *one)
    status: dict = {}
    while not 5 <= status.get("step", 0) < status.get("steps", 0):
        assert command.poll() is None
        time.sleep(0.02)
        for path in tmp_path.glob("runs/*/runs/*/status.json"):
            status = json.loads(path.read_text())
    os.killpg(command.pid, how)  # as a terminal does: to its jobs and their server too
    _, stderr = command.communicate(timeout=120)
    assert command.returncode == 130, stderr
    assert "save at their next step" in stderr
    (path,) = tmp_path.glob("runs/*/runs/*/status.json")
    stopped = json.loads(path.read_text())
    assert stopped["state"] == "stopped"
    again = start_command(how, *one)
    _, stderr = again.communicate(timeout=300)
    assert again.returncode == 0, stderr
    manifest = json.loads((path.parent / "manifest.json").read_text())
    assert manifest["ledger"]["resumed_from"] == stopped["step"] >= 5
