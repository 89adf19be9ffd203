"""A job told to make room: where it stops, and that its helpers do not hear it."""

import os
import signal
import subprocess
import sys

import pytest

SCRIPT = """
import os, signal, subprocess, sys, time
from kvdistill import preemption

preemption.install_handler(signal.SIGUSR2)
wait = "import time; print('up', flush=True); time.sleep(30)"
executed = subprocess.Popen([sys.executable, "-c", wait], stdout=subprocess.PIPE, text=True)
executed.stdout.readline()
forked = os.fork()
if forked == 0:
    time.sleep(30)
    os._exit(0)
report = []
try:
    with preemption.defer():
        print("ready", flush=True)
        while not preemption.is_requested():
            time.sleep(0.01)
        report.append("flag")
except preemption.Preempted:
    report.append("raised on leaving")
time.sleep(0.3)
report.append(f"executed {executed.poll()} forked {os.waitpid(forked, os.WNOHANG)[0]}")
executed.kill(); os.kill(forked, signal.SIGKILL)
print("; ".join(report), flush=True)
try:
    print("again", flush=True)
    time.sleep(100)
    print("never asked")
except preemption.Preempted:
    print("raised at once")
"""


@pytest.mark.integration
@pytest.mark.timeout(60)
def test_training_is_asked_anything_else_is_ended_and_helpers_hear_nothing() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, text=True, start_new_session=True,
        env={**os.environ, "PYTHONPATH": "src"},
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        os.killpg(process.pid, signal.SIGUSR2)
        report = process.stdout.readline()
        assert report == "flag; raised on leaving; executed None forked 0\n"
        assert process.stdout.readline() == "again\n"
        os.kill(process.pid, signal.SIGUSR2)
        assert process.stdout.readline() == "raised at once\n"
        assert process.wait(10) == 0


END_SCRIPT = """
import os, signal, time
from kvdistill import preemption

preemption.install_end_handler(signal.SIGTERM)
reads, writes = os.pipe()
forked = os.fork()
if forked == 0:
    os.write(writes, b"up")
    time.sleep(30)
    os._exit(0)
os.read(reads, 2)
os.kill(forked, signal.SIGTERM)
ended = os.waitstatus_to_exitcode(os.waitpid(forked, 0)[1])
print(ended, preemption.is_requested(), flush=True)
try:
    with preemption.defer():
        os.kill(os.getpid(), signal.SIGTERM)
        print(preemption.is_requested(), flush=True)
except preemption.Preempted:
    print("raised on leaving", flush=True)
"""


@pytest.mark.integration
def test_what_ends_a_local_job_ends_a_process_that_it_forked_too() -> None:
    done = subprocess.run(
        [sys.executable, "-c", END_SCRIPT], capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": "src"}, timeout=60,
    )  # fmt: skip
    assert done.stdout.split("\n")[:3] == ["-15 False", "True", "raised on leaving"], done.stderr


def test_an_interruption_is_no_failure_that_code_may_swallow() -> None:
    from kvdistill.preemption import Preempted

    assert not issubclass(Preempted, Exception)
