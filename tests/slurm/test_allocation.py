"""A shell inside an allocation submits as any other, and what SLURM writes of an end is quoted."""

from pathlib import Path

import pytest

from tests.slurm.study import Launcher, read

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]
SPLIT = ("stage=data", "data.source.rows=40", "cluster=slurm", "cluster.cpus=1", "cluster.mem_gb=1")
INSIDE = {
    "SLURM_JOB_ID": "1", "SLURM_MEM_PER_CPU": "64", "SLURM_NTASKS": "4", "SLURM_NNODES": "2",
    "SBATCH_PARTITION": "nowhere", "SQUEUE_STATES": "PD", "CUDA_VISIBLE_DEVICES": "0",
}  # fmt: skip


def test_a_job_submitted_from_inside_an_allocation_ends_well(
    launcher: Launcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as inside:
        for name, value in INSIDE.items():
            inside.setenv(name, value)
        setup = f"cluster.setup=['env > {tmp_path}/seen']"
        shell = launcher.start(*SPLIT, setup, f"root={tmp_path}")
        out, err = shell.communicate()
    assert shell.returncode == 0, out + err
    assert "note: SBATCH_PARTITION of this shell" in out
    launcher.drain()
    states = [read(path)["state"] for path in tmp_path.glob("artifacts/*/status.json")]
    assert states == ["done", "done"]
    seen = dict(x.split("=", 1) for x in (tmp_path / "seen").read_text().splitlines() if "=" in x)
    assert (seen["SLURM_JOB_PARTITION"], seen["SLURM_NTASKS"]) == ("debug", "1")
    assert not {"SLURM_MEM_PER_CPU", "SBATCH_PARTITION", "SQUEUE_STATES"} & seen.keys()


def test_what_srun_wrote_before_a_job_began_is_its_reason(
    launcher: Launcher, tmp_path: Path
) -> None:
    setup = "cluster.setup=['export SLURM_MEM_PER_CPU=64']"
    output = launcher(*SPLIT, "cluster.wait=true", setup, f"root={tmp_path}", code=1)
    error = " ".join(output.split())
    assert (
        "says: srun: fatal: SLURM_MEM_PER_CPU, SLURM_MEM_PER_GPU, and SLURM_MEM_PER_NODE" in error
    )
    assert "log.txt" not in error
