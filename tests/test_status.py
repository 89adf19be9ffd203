"""What status.json says while a job is busy with one thing for long."""

import threading
import time
from pathlib import Path

from kvdistill.files import read_json
from kvdistill.status import StatusWriter, format_phase


def read(folder: Path) -> dict:
    return read_json(folder / "status.json")


def wait_for_heartbeat(folder: Path, after: float) -> None:
    deadline = time.monotonic() + 30
    while read(folder)["heartbeat"] <= after:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_job_that_says_nothing_has_a_heartbeat_and_keeps_its_phase(tmp_path: Path) -> None:
    status = StatusWriter(tmp_path)
    status.write("running", **status.steps)
    status.write_progress(4, 4)
    with status.keep_alive(every_s=0.01), status.show_phase("speed of writing"):
        wait_for_heartbeat(tmp_path, time.time())
        assert format_phase(read(tmp_path)) == "speed of writing"
        assert read(tmp_path)["step"] == 4
    assert not any(thread.name == "heartbeat" for thread in threading.enumerate())
    assert "phase" not in read(tmp_path)


def test_a_phase_within_a_phase_gives_it_back(tmp_path: Path) -> None:
    status = StatusWriter(tmp_path)
    status.write("running")
    with status.show_phase("tasks on rows of val") as report:
        report(3, 3)
        with status.show_phase("reading x"):
            assert format_phase(read(tmp_path)) == "reading x"
        assert format_phase(read(tmp_path)) == "tasks on rows of val 3/3"


def test_no_heartbeat_takes_back_that_a_job_has_failed(tmp_path: Path) -> None:
    status = StatusWriter(tmp_path)
    status.write("running")
    with status.keep_alive(every_s=0.001):
        status.write("failed", error="rank 1: the loss is NaN")
        time.sleep(0.05)
        status.write_progress(1, 1)
    assert read(tmp_path)["error"] == "rank 1: the loss is NaN"


def test_the_rate_of_answers_is_not_that_of_the_steps_before(tmp_path: Path) -> None:
    """Three steps of training, then four answers to score: none is done, so nothing is known."""
    status = StatusWriter(tmp_path)
    for step in (1, 3):
        status.write_progress(step, 3)
        time.sleep(0.01)
    assert status.steps["steps_per_s"] > 0
    status.write_progress(0, 4)
    assert status.steps["steps_per_s"] == 0
    assert status.steps["eta_s"] is None
    time.sleep(0.01)
    status.write_progress(1, 4)
    assert status.steps["steps_per_s"] > 0
    assert status.steps["eta_s"] > 0
