"""A tuning that is killed at instants of its own time ends as one that was left alone."""

import random
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from kvdistill.history import read_history
from tests.bench.faults.study import end, kill, start
from tests.slurm.study import TINY, copy_project, read

pytestmark = [pytest.mark.slow, pytest.mark.integration, pytest.mark.timeout(900)]
SWEEP = """
question: Tuned although it was killed?
arms: {sft: {arm: sft}, kv: {arm: single_teacher, teachers.a.build.training.steps: 2}}
tune:
  grid: {train.lr: [5.0e-4, 2.0e-3, 8.0e-3]}
  trials: 3
  seeds: [1]
seeds: [11]
"""
TUNE = ("stage=tune", "sweep=killed", *TINY[:-2], "train.save_steps=2")
KILLS = 6


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of ours with the sweep."""
    copy_project(tmp_path / "project")
    (tmp_path / "project/sweeps/killed.yaml").write_text(SWEEP)
    return tmp_path / "project"


def start_tuning(project: Path, root: Path) -> subprocess.Popen[bytes]:
    """The command, to be disturbed."""
    return start(root, arguments=TUNE, project=project)


def finish_tuning(project: Path, root: Path) -> float:
    """The command, to its end; the seconds that it took."""
    began = time.monotonic()
    ended = end(start_tuning(project, root))
    assert ended.code == 0, ended.stderr
    return time.monotonic() - began


def kill_tuning(project: Path, root: Path, seconds: float) -> bool:
    """Kills all processes of the command after so long; whether it was still at work."""
    command = start_tuning(project, root)
    with suppress(subprocess.TimeoutExpired):
        command.wait(seconds)
    alive = command.poll() is None
    kill(command)
    return alive


def evidence(root: Path) -> dict[str, Any]:
    """All that a tuning leaves: its choices, sealed, and the record of what was tried."""
    history = read_history(root)
    return {
        "tunings": read(root / "runs/nano/plan.json")["tunings"],
        "record": [(event.event, event.facts) for event in history.events],
        "problems": history.problems,
        "trials": {
            path.parent.name: read(path)["measured"]
            for path in root.glob("runs/nano/trials/*/manifest.json")
        },
    }


def disturb_tuning(project: Path, root: Path, seconds: float, chance: random.Random) -> list[float]:
    """Kills and repeats the command until one comes to its end; the instants of the kills.

    They are drawn over half of the time that an undisturbed command takes, so that it takes
    several, and a share of it, so that a busy machine has them go as far.
    """
    instants: list[float] = []
    for _ in range(KILLS):
        instant = chance.uniform(0, seconds / 2)
        if not kill_tuning(project, root, instant):
            break
        instants.append(instant)
    finish_tuning(project, root)
    return instants


def test_killed_again_and_again_it_ends_in_the_same_choice_and_record(
    project: Path, tmp_path: Path
) -> None:
    alone, killed = tmp_path / "alone", tmp_path / "killed"
    seconds = finish_tuning(project, alone)
    assert disturb_tuning(project, killed, seconds, random.Random(0))
    whole = evidence(alone)
    assert evidence(killed) == whole
    assert [event for event, _ in whole["record"]] == ["tuned", "tuned", "chosen", "chosen"]
    assert len(whole["trials"]) == 6
    assert all(len(arm["sha256"]) == 64 for arm in whole["tunings"]["killed"]["arms"].values())
