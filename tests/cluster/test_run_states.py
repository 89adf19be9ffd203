"""The state of a run, from its folder first and the queue second."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from kvdistill.plan.frozen_recipe import seal_recipe
from kvdistill.plan.study_plan import Question, RunEntry, StudyPlan

FROZEN = {"kind": "run", "needs": {"split": "split-1"}, "recipe": {}}


def study(root: Path, *, job: str | None = None, done: bool = False, **status: Any) -> Path:
    run = root / "runs/s/runs/seed1-abc"
    run.mkdir(parents=True)
    entry = RunEntry("runs/s/runs/seed1-abc", "sft", 1, recipe="r", trained=True, steps=4)
    question = Question("?", arms={"fusion=fixed": {"1": "abc"}})
    StudyPlan("s", questions={"q": question}, runs={"abc": entry}).write(root / "runs/s")
    (run / "config.yaml").write_text(seal_recipe(FROZEN))
    if status:
        (run / "status.json").write_text(json.dumps(status))
    if job:
        (run / "job.json").write_text(json.dumps({"job_id": job}))
    if done:
        (run / "manifest.json").write_text("{}")
    return root / "runs/s"


def read_run_state(
    root: Path, place: Path, monkeypatch: pytest.MonkeyPatch, **queue: tuple[str, str]
) -> Any:
    from kvdistill.cluster import run_states, slurm_commands

    queued = {
        name.removeprefix("j"): slurm_commands.QueuedJob(*state) for name, state in queue.items()
    }
    monkeypatch.setattr(slurm_commands, "read_queue", lambda: queued)
    monkeypatch.setattr(slurm_commands, "read_final_state", lambda _: None)
    (state,) = run_states.read_run_states(root, place)
    return state


@pytest.mark.parametrize(
    ("there", "queue", "state"),
    [
        ({}, {}, "planned"),
        ({"done": True, "state": "running", "heartbeat": 0}, {}, "done"),
        ({"job": "5", "state": "queued"}, {"j5": ("PENDING", "Priority")}, "queued"),
        ({"job": "5", "state": "queued"}, {"j5": ("RUNNING", "None")}, "starting"),
        (
            {"job": "5", "state": "running", "heartbeat": 9e9},
            {"j5": ("RUNNING", "None")},
            "running",
        ),
        ({"job": "5", "state": "running", "heartbeat": 0}, {"j5": ("RUNNING", "None")}, "silent"),
        ({"job": "5", "state": "running", "heartbeat": 9e9}, {}, "lost"),
        ({"job": "5", "state": "failed", "error": "x"}, {}, "failed"),
        ({"state": "running", "heartbeat": 9e9}, {}, "running"),
        ({"state": "running", "heartbeat": 0}, {}, "silent"),
    ],
)
def test_states(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: dict, queue: dict, state: str
) -> None:
    assert read_run_state(tmp_path, study(tmp_path, **there), monkeypatch, **queue).state == state


@pytest.mark.parametrize(
    ("file", "state", "why"),
    [
        ("", "gone", "was deleted or renamed"),
        ("status.json", "unreadable", "status.json is no JSON"),
        ("job.json", "unreadable", "job.json is no JSON"),
    ],
)
def test_a_broken_folder_is_named_and_hides_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, state: str, why: str
) -> None:
    place = study(tmp_path, state="running", heartbeat=9e9)
    run = tmp_path / "runs/s/runs/seed1-abc"
    if file:
        (run / file).write_text("{")
    else:
        run.rename(run.with_name("old"))
    line = read_run_state(tmp_path, place, monkeypatch)
    assert (line.run, line.state) == ("abc", state)
    assert why in line.why


def test_a_line_has_all_that_the_run_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = study(
        tmp_path, job="5", state="running", heartbeat=time.time() - 3, step=4, steps=10,
        steps_per_s=2.0, eta_s=3.0, requeues=2, retries=1,
    )  # fmt: skip
    state = read_run_state(tmp_path, place, monkeypatch, j5=("RUNNING", "None"))
    assert (state.label, state.step, state.steps, state.eta_s) == ("fusion=fixed", 4, 10, 3.0)
    assert (state.requeues, state.retries, state.job) == (2, 1, "5")
    assert 3 <= state.heartbeat_s < 30


def test_without_squeue_the_folders_speak(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from kvdistill.cluster import run_states

    monkeypatch.setenv("PATH", "/nowhere")
    place = study(tmp_path, job="5", state="running", heartbeat=time.time())
    (state,) = run_states.read_run_states(tmp_path, place)
    assert state.state == "running"
    assert "squeue is not on the path" in capsys.readouterr().err


def test_json_is_one_object_a_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from kvdistill.cli import status
    from kvdistill.config.schema import StatusSettings

    place = study(tmp_path, done=True)
    status.show_study(tmp_path, place, StatusSettings(watch=True, format="json", every_s=1.0))
    report = json.loads(capsys.readouterr().out)
    assert report["study"] == "s"
    assert [run["state"] for run in report["runs"]] == ["done"]


@pytest.mark.parametrize(
    ("there", "trained", "queue", "expected"),
    [
        ({"state": "running", "heartbeat": 9e9}, False, {"j4": ("RUNNING", "None"),
         "j5": ("PENDING", "Dependency")}, ("running", "4")),
        ({"state": "trained", "heartbeat": 0}, True, {"j5": ("PENDING", "Dependency")},
         ("queued", "5")),
        ({"state": "trained", "heartbeat": 0}, True, {"j5": ("RUNNING", "None")},
         ("starting", "5")),
        ({"state": "failed", "error": "the loss is NaN"}, False,
         {"j5": ("PENDING", "DependencyNeverSatisfied")}, ("failed", "4")),
        ({"state": "running", "heartbeat": 0}, False, {}, ("lost", "4")),
        ({"state": "running", "heartbeat": 0}, True, {}, ("lost", "5")),
    ],
)  # fmt: skip
def test_of_two_jobs_the_one_at_work_is_shown(
    there: dict[str, Any], trained: bool, queue: dict[str, Any], expected: tuple[str, str],
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    place = study(tmp_path, job="5", **there)
    run = tmp_path / "runs/s/runs/seed1-abc"
    (run / "training_job.json").write_text(json.dumps({"job_id": "4"}))
    if trained:
        (run / "trained.json").write_text("{}")
    state = read_run_state(tmp_path, place, monkeypatch, **queue)
    assert (state.state, state.job) == expected


def test_a_training_that_ended_before_its_evaluation_is_no_loss_on_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = study(tmp_path, state="trained", heartbeat=0)
    assert read_run_state(tmp_path, place, monkeypatch).state == "trained"


def test_both_jobs_of_a_run_are_found_in_the_queue(tmp_path: Path) -> None:
    from kvdistill.cluster.slurm import find_jobs_at_work
    from kvdistill.cluster.slurm_commands import QueuedJob, find_queued_jobs
    from kvdistill.plan.graph import Node

    study(tmp_path, job="5", state="queued")
    run = tmp_path / "runs/s/runs/seed1-abc"
    queued = {"4": QueuedJob("RUNNING", "None"), "5": QueuedJob("PENDING", "Dependency")}
    jobs = [Node("training", "seed1-abc.training", {}, {}), Node("evaluation", "seed1-abc", {}, {})]
    folders = {job.name: run for job in jobs}
    # One job that does all of the run: there is nothing to train beside it.
    assert find_jobs_at_work(jobs, folders, queued) == {"seed1-abc": "5", "seed1-abc.training": "5"}
    (run / "training_job.json").write_text(json.dumps({"job_id": "4"}))
    both = {"seed1-abc": "5", "seed1-abc.training": "4"}
    assert find_queued_jobs([run], queued) == both
    assert find_jobs_at_work(jobs, folders, queued) == both


def test_a_run_whose_process_has_ended_on_this_machine_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os
    import platform
    import subprocess
    import sys

    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    entry = {"state": "running", "heartbeat": time.time(), "step": 60, "steps": 300}
    for number, (host, pid, state) in enumerate(
        [
            (platform.node(), ended.pid, "stopped"),
            (platform.node(), os.getpid(), "running"),
            ("elsewhere", ended.pid, "running"),
        ]
    ):
        root = tmp_path / str(number)
        place = study(root, **entry, process={"host": host, "pid": pid})
        assert read_run_state(root, place, monkeypatch).state == state
