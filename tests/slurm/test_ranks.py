"""One run as two tasks, each with a GPU of its own, over which its teacher is sharded."""

import json
from pathlib import Path

import pytest

from tests.slurm.mini import wait_for
from tests.slurm.study import TINY, Launcher, copy_artifacts, read, runs

pytestmark = [pytest.mark.slow, pytest.mark.integration, pytest.mark.timeout(600)]


def losses(folder: Path) -> list[float]:
    lines = [json.loads(line) for line in (folder / "curves.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if line["split"] == "train" and "loss" in line]


def test_two_ranks_train_as_one(launcher: Launcher, sweep_root: Path, tmp_path: Path) -> None:
    arm = (*TINY[:-1], "arm=single_teacher", "train.logging_steps=1")
    two = ("budget.num_gpus=2", "budget.batch_size=8", "teachers.a.placement.shard=zero3")
    for place in ("one", "two"):
        copy_artifacts(sweep_root, tmp_path / place)
    launcher(*arm, f"root={tmp_path}/one")
    (alone,) = runs(tmp_path / "one").values()
    launcher(*arm, *two, "cluster=slurm", f"root={tmp_path}/two")
    (folder,) = runs(tmp_path / "two").values()
    job = read(folder / "training_job.json")["job_id"]
    wait_for(lambda: launcher.slurm.job(job)["JobState"] != "PENDING", 300)
    fields = launcher.slurm.job(job)
    assert fields["NumTasks"] == "2"
    assert "gpu:2" in fields["TresPerNode"]
    launcher.drain()
    assert launcher.state(folder) == "COMPLETED"
    assert folder.name == alone.name
    assert len(losses(alone)) == 10
    assert losses(folder) == pytest.approx(losses(alone), rel=1e-3)
