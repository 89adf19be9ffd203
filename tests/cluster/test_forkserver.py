"""The ranks of a job on one machine, without starting any."""

import subprocess
import sys
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
    from kvdistill.cluster.forkserver import Gang

    gang = Gang([Process(0), Process(None)])
    assert gang.is_alive()
    assert gang.size == 2
    gang.processes[1].exitcode = 0
    assert not gang.is_alive()
    assert gang.exitcode == 0


def test_the_code_of_the_rank_that_failed_is_the_gangs() -> None:
    from kvdistill.cluster.forkserver import Gang

    assert Gang([Process(0), Process(2)]).exitcode == 2


def test_a_rank_that_outlives_a_failed_one_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    from kvdistill.cluster import forkserver

    found = forkserver.Gang([Process(None), Process(1)])
    found.is_alive()
    assert not found.processes[0].killed
    monkeypatch.setattr(forkserver, "GRACE_S", -1.0)
    found.is_alive()
    assert found.processes[0].killed


def test_a_wide_job_waits_for_free_slots_or_runs_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kvdistill.cluster import forkserver
    from kvdistill.cluster.local import JobQueue
    from kvdistill.plan.graph import Node

    started = {}

    def start(folder: Path, size: int) -> forkserver.Gang:
        started[folder.name] = size
        return forkserver.Gang([Process() for _ in range(size)])

    monkeypatch.setattr(forkserver, "start", start)
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


def test_the_server_answers_and_says_what_failed() -> None:
    """With a server that has nothing to import first."""
    code = (
        "from kvdistill.cluster import gang\n"
        "from kvdistill.errors import UserError\n"
        "gang.SERVER.set_forkserver_preload([])\n"
        "if __name__ == '__main__':\n"
        "    print(gang.asked('json', 'dumps', {'a': [1]}))\n"
        "    for name, given in (('open', 'nowhere'), ('_exit', 3)):\n"
        "        try: gang.asked('os', name, given)\n"
        "        except UserError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    said = done.stdout.splitlines()
    assert said[0] == '{"a": [1]}'
    assert said[1].startswith("os failed: TypeError: ")
    assert said[2] == "os failed: it was killed"
