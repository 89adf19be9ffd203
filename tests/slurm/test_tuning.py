"""A tuned sweep on a queue: trials, then the choice, then its confirmation, by one command."""

from pathlib import Path
from typing import Any

import pytest

from tests.slurm.study import TINY, Launcher, copy_artifacts, read, runs

pytestmark = [pytest.mark.slow, pytest.mark.integration, pytest.mark.timeout(900)]
SWEEP = """
question: Tuned on a queue?
arms: {sft: {arm: sft}, kv: {arm: single_teacher, teachers.a.build.training.steps: 2}}
tune: {grid: {train.lr: [1.0e-3, 4.0e-3, 1.0e+30]}, trials: 3, seeds: [1]}
seeds: [11]
"""
COMMAND = (*TINY[:-2], "sweep=queued")


def read_tuning(root: Path) -> dict[str, Any]:
    tuning: dict[str, Any] = read(root / "runs/nano/plan.json")["tunings"]["queued"]
    return tuning


def test_the_same_command_tunes_chooses_and_confirms_as_on_this_machine(
    launcher: Launcher, tmp_path: Path
) -> None:
    (launcher.project / "sweeps/queued.yaml").write_text(SWEEP)
    there, here = tmp_path / "there", tmp_path / "here"
    queued = (*COMMAND, "cluster=slurm", f"root={there}")
    before = launcher.jobs()
    assert "repeat the command" in launcher(*queued).replace("\n", " ")
    submitted = launcher.names(launcher.jobs() - before)
    assert submitted.count("trial") == 6
    assert not {"training", "evaluation", "validation", "report"} & {*submitted}
    assert all(arm["winner"] is None for arm in read_tuning(there)["arms"].values())
    launcher.drain()

    before = launcher.jobs()
    launcher(*queued)
    confirming = launcher.names(launcher.jobs() - before)
    assert confirming.count("training") == confirming.count("evaluation") == 2
    assert "trial" not in confirming
    launcher.drain()
    arms = read_tuning(there)["arms"]
    for arm in arms.values():
        (diverged,) = (each for each in arm["trials"] if each["settings"]["train.lr"] == 1e30)
        assert diverged["measured"] == {"1": None}
        assert arm["trials"][arm["winner"]] != diverged
    rates = [arm["trials"][arm["winner"]]["settings"]["train.lr"] for arm in arms.values()]
    for folder, rate in zip(runs(there).values(), rates, strict=True):
        assert f"lr: {rate}\n" in (folder / "config.yaml").read_text()
        assert launcher.state(folder) == "COMPLETED"
    assert (there / "runs/nano/report/index.html").is_file()

    before = launcher.jobs()
    assert "report:" in launcher(*queued)
    assert launcher.jobs() == before

    copy_artifacts(there, here)
    launcher(*COMMAND, "stage=tune", f"root={here}")
    assert read_tuning(here) == read_tuning(there)
