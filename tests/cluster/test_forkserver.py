"""The ranks of a job on one machine, without starting any."""

from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from kvdistill.plan.frozen_recipe import seal_recipe


class Process(BaseProcess):
    """Stands for a rank; ends when told."""

    exitcode = None

    def __init__(self, exitcode: int | None = None) -> None:
        self.exitcode = exitcode
        self.killed = False

    def is_alive(self) -> bool:
        return self.exitcode is None

    def kill(self) -> None:
        self.killed = True


def test_a_gang_lives_as_long_as_any_rank() -> None:
    from kvdistill.cluster.forkserver import RankProcesses

    ranks = RankProcesses([Process(0), Process(None)])
    assert ranks.is_alive()
    assert ranks.size == 2
    ranks.processes[1].exitcode = 0
    assert not ranks.is_alive()
    assert ranks.exitcode == 0


def test_the_code_of_the_rank_that_failed_is_the_gangs() -> None:
    from kvdistill.cluster.forkserver import RankProcesses

    assert RankProcesses([Process(0), Process(2)]).exitcode == 2


def test_a_rank_that_outlives_a_failed_one_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    from kvdistill.cluster import forkserver

    ranks = forkserver.RankProcesses([Process(None), Process(1)])
    ranks.is_alive()
    assert not ranks.processes[0].killed
    monkeypatch.setattr(forkserver, "GRACE_S", -1.0)
    ranks.is_alive()
    assert ranks.processes[0].killed


def test_a_wide_job_waits_for_free_slots_or_runs_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kvdistill.cluster import forkserver
    from kvdistill.cluster.local import JobQueue
    from kvdistill.plan.graph import Node

    started = {}

    def start(folder: Path, size: int) -> forkserver.RankProcesses:
        started[folder.name] = size
        return forkserver.RankProcesses([Process() for _ in range(size)])

    monkeypatch.setattr(forkserver, "start_job", start)
    folders = {}
    for name, ranks in (("one", 1), ("wide", 4), ("two", 2)):
        folders[name] = tmp_path / name
        folders[name].mkdir()
        recipe = {"trained": True, "budget": {"num_gpus": ranks}}
        frozen = {"kind": "run", "needs": {}, "recipe": recipe}
        (folders[name] / "config.yaml").write_text(seal_recipe(frozen))
    jobs = JobQueue([Node("run", name, {}, {}) for name in folders], folders)
    jobs.start(slots=3)
    assert started == {"one": 1, "two": 2}
    jobs.running.clear()
    jobs.start(slots=3)
    assert started == {"one": 1, "two": 2, "wide": 4}
