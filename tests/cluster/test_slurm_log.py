"""What SLURM and the shell write of a job's end is found in its script's log."""

from pathlib import Path

import pytest

from kvdistill.cluster.slurm_log import find_error

MEMORY = (
    "srun: fatal: SLURM_MEM_PER_CPU, SLURM_MEM_PER_GPU, and SLURM_MEM_PER_NODE are mutually "
    "exclusive."
)
EXITED = "srun: error: node7: task 0: Exited with exit code 1"
LOGS = {
    "srun's own complaint": (f"setting up\n{MEMORY}\n", MEMORY),
    "a time limit": (
        "x\nslurmstepd: error: *** JOB 7 ON n CANCELLED AT 2026-01-01 DUE TO TIME LIMIT ***\n",
        "slurmstepd: error: *** JOB 7 ON n CANCELLED AT 2026-01-01 DUE TO TIME LIMIT ***",
    ),
    "a command that is none": (
        f"/var/spool/job7/slurm_script: line 21: module: command not found\n{EXITED}\n",
        "/var/spool/job7/slurm_script: line 21: module: command not found",
    ),
    "an import": (
        f"Traceback (most recent call last):\n  File x\nModuleNotFoundError: No module\n{EXITED}\n",
        "ModuleNotFoundError: No module",
    ),
    "srun's word on a task, where there is no other": (f"hello\n{EXITED}\n", EXITED),
    "the last life of a job": (
        f"slurmstepd: error: *** JOB 7 ON n CANCELLED DUE TO PREEMPTION ***\n{MEMORY}\n", MEMORY,
    ),
    "an escape": ("error: \x1b[31mred", "error: \u2039U+001B\u203a[31mred"),
    "nothing": ("all is well\n", None),
}  # fmt: skip


@pytest.mark.parametrize("name", LOGS)
def test_the_line_that_says_why_is_quoted(tmp_path: Path, name: str) -> None:
    text, line = LOGS[name]
    (tmp_path / "log").write_text(text)
    assert find_error(tmp_path / "log") == line


def test_of_a_long_log_the_end_is_read_and_of_none_nothing(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"error: first\n" + b"\xff" * 10**6 + b"\nerror: last\n")
    assert find_error(tmp_path / "log") == "error: last"
    assert find_error(tmp_path / "none") is None
