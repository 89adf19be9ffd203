"""A run that is pushed out, requeued and killed ends in the bits of one left alone."""

import json
from pathlib import Path

import pytest

from tests.launch_server import launch
from tests.slurm.mini import MiniSlurm, wait_for
from tests.slurm.study import TINY, Launcher, copy_artifacts, read, runs

RUN = (
    *TINY[:-2], "arm=sft", "references=false", "budget.total_tokens=122880",
    "train.save_steps=30", "train.eval_steps=60",
)  # fmt: skip
"""120 steps."""
pytestmark = [pytest.mark.slow, pytest.mark.integration, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def launcher(slurm: MiniSlurm, tmp_path_factory: pytest.TempPathFactory) -> Launcher:
    """Its code waits a tenth of a second at every step, so that a run can be met at one."""
    slow = Launcher.copy_to(tmp_path_factory.mktemp("slow"), slurm)
    path = slow.project / "src/kvdistill/status.py"
    before = "        now = time.monotonic()\n"
    assert path.read_text().count(before) == 1
    path.write_text(path.read_text().replace(before, f"        time.sleep(0.1)\n{before}"))
    return slow


def read_step(folder: Path) -> int:
    path = folder / "status.json"
    status = read(path) if path.is_file() else {}
    return int(status.get("step") or 0) if status.get("state") == "running" else 0


def wait_for_step(folder: Path, number: int) -> int:
    """Waits until the run is there; its step."""
    wait_for(lambda: read_step(folder) >= number, 300)
    return read_step(folder)


def read_checkpoint_step(folder: Path) -> int:
    """The newest checkpoint's step."""
    names = [path.name for path in (folder / "checkpoints").glob("checkpoint-*")]
    return max(int(name.rpartition("-")[2]) for name in names)


def push_out_job(slurm: MiniSlurm, job: str) -> None:
    """A job of a higher partition takes the node; the pushed-out one then starts without delay."""
    script = ("--wrap=sleep 2", "--ntasks=2", "--output=/dev/null", "--partition=high")
    slurm.call("sbatch", *script)
    restart_job(slurm, job)


def restart_job(slurm: MiniSlurm, job: str) -> None:
    """SLURM would wait two minutes before it starts a requeued job."""
    wait_for(lambda: slurm.job(job)["JobState"] == "PENDING", 90)
    slurm.call("scontrol", "update", f"jobid={job}", "StartTime=now")


def evidence(folder: Path) -> tuple[bytes, str]:
    results = read(folder / "results.json")
    results.pop("efficiency")
    return (folder / "model/model.safetensors").read_bytes(), json.dumps(results)


def test_preempted_requeued_and_killed_it_ends_in_the_same_bits(
    launcher: Launcher, slurm: MiniSlurm, tmp_path: Path
) -> None:
    there, here = tmp_path / "there", tmp_path / "here"
    assert launch(*RUN, f"root={here}").returncode == 0
    (undisturbed,) = runs(here).values()
    copy_artifacts(here, there)
    command = (*RUN, "cluster=slurm", "cluster.time_min=9", f"root={there}")
    launcher(*command)
    (folder,) = runs(there).values()
    job = read(folder / "training_job.json")["job_id"]

    before = wait_for_step(folder, 10)
    push_out_job(slurm, job)
    # At the step at which it got the signal, not at a regular one.
    assert before <= read_checkpoint_step(folder) < 30
    assert read(folder / "status.json")["state"] == "queued"

    wait_for_step(folder, 40)
    slurm.call("scontrol", "requeue", job)
    restart_job(slurm, job)
    assert read_checkpoint_step(folder) >= 30

    wait_for(lambda: read(folder / "status.json").get("requeues") == 2, 120)
    wait_for_step(folder, 70)
    slurm.call("scancel", "--signal=KILL", job)
    wait_for(lambda: slurm.job(job)["JobState"] not in ("RUNNING", "COMPLETING"), 60)
    assert slurm.job(job)["JobState"] != "COMPLETED"
    launcher.drain()
    assert "ended without a word" in read(folder / "status.json")["error"]

    launcher(*command, "cluster.wait=true")
    launcher.drain()
    assert evidence(folder) == evidence(undisturbed)


def test_a_job_that_reached_its_limit_too_often_says_so(
    launcher: Launcher, slurm: MiniSlurm, tmp_path: Path
) -> None:
    launcher(
        *RUN, "cluster=slurm", "cluster.max_timeouts=1", "cluster.time_min=9", f"root={tmp_path}"
    )
    (folder,) = runs(tmp_path).values()
    job = read(folder / "training_job.json")["job_id"]
    for number in (5, 25):
        wait_for_step(folder, number)
        slurm.call("scancel", "--signal=USR2", job)
        if number == 5:
            restart_job(slurm, job)
    launcher.drain()
    assert slurm.job(job)["JobState"] == "FAILED"
    status = read(folder / "status.json")
    assert (status["state"], status["cause"]) == ("failed", "time")
    assert "timed-out too many times" in status["error"]
