"""What a shell has of an allocation goes neither to SLURM's commands nor into jobs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kvdistill.cluster import slurm_commands
from kvdistill.cluster.environment import (
    leave_allocation,
    leave_allocation_for_sbatch,
    list_sbatch_defaults,
)

INSIDE = {
    "SLURM_JOB_ID": "7", "SLURM_MEM_PER_CPU": "64", "SLURM_NTASKS": "4", "SLURMD_NODENAME": "n",
    "SBATCH_PARTITION": "other", "SRUN_CPUS_PER_TASK": "3", "SQUEUE_STATES": "PD",
    "CUDA_VISIBLE_DEVICES": "0",
}  # fmt: skip
KEPT = {"SLURM_CONF": "/etc/slurm.conf", "SLURM_CLUSTERS": "big", "SLURM_JWT": "secret",
        "PATH": "/usr/bin", "HF_HOME": "/x"}  # fmt: skip


def test_an_allocation_is_left_and_the_cluster_is_still_found() -> None:
    assert leave_allocation(INSIDE | KEPT) == KEPT


def test_outside_of_an_allocation_the_gpus_of_a_shell_are_the_users_choice() -> None:
    assert leave_allocation(KEPT | {"CUDA_VISIBLE_DEVICES": "1"})["CUDA_VISIBLE_DEVICES"] == "1"


def test_sbatch_sees_none_of_it_and_the_shell_has_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (INSIDE | KEPT).items():
        monkeypatch.setenv(name, value)
    before = dict(os.environ)
    with leave_allocation_for_sbatch():
        assert not INSIDE.keys() & os.environ.keys()
        assert KEPT.items() <= os.environ.items()
    assert dict(os.environ) == before
    assert list_sbatch_defaults(os.environ) == ["SBATCH_PARTITION"]


def test_slurms_commands_see_no_defaults_that_would_hide_jobs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    squeue = tmp_path / "squeue"
    squeue.write_text(
        f"#!{sys.executable}\nimport os\nprint('7|' + os.getenv('SQUEUE_STATES', 'ALL') + '|None')"
    )
    squeue.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("SQUEUE_STATES", "PD")
    assert slurm_commands.read_queue()["7"].state == "ALL"


def test_jobs_keep_the_memory_of_a_step_unless_the_user_says_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from kvdistill.cluster.environment import KEEP_PAGES, TUNABLES, common_environment

    monkeypatch.delenv(TUNABLES, raising=False)
    environment = common_environment(1)
    assert environment[TUNABLES] == KEEP_PAGES
    # A name that glibc does not know is dropped by it in silence.
    allocate = (
        "import ctypes, resource; libc = ctypes.CDLL(None); libc.malloc.restype = ctypes.c_void_p\n"
        "libc.free.argtypes = [ctypes.c_void_p]\n"
        "def take():\n"
        "    block = libc.malloc(2 ** 28); ctypes.memset(block, 1, 2 ** 28); libc.free(block)\n"
        "take(); before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt; take()\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)"
    )
    command = [sys.executable, "-c", allocate]
    faults = [
        int(subprocess.run(command, env=os.environ | each, capture_output=True, check=True).stdout)
        for each in ({}, environment)
    ]
    assert faults[1] < 100 < faults[0]
    monkeypatch.setenv(TUNABLES, "glibc.malloc.check=1")
    assert TUNABLES not in common_environment(1)


def test_jobs_let_segments_of_the_allocator_grow_unless_the_user_says_otherwise(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from kvdistill.cluster.environment import ALLOCATOR, common_environment, slurm_environment

    for name in ALLOCATOR:
        monkeypatch.delenv(name, raising=False)
    for variables in (common_environment(1), slurm_environment(tmp_path, 1, True)):
        assert variables["PYTORCH_CUDA_ALLOC_CONF"] == "expandable_segments:True"
    for name in ALLOCATOR:
        with monkeypatch.context() as patch:
            patch.setenv(name, "max_split_size_mb:64")
            assert not set(ALLOCATOR) & common_environment(1).keys()
