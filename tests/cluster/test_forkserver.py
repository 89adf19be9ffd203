"""The ranks of a job on one machine, without starting any."""

import os
import shutil
import subprocess
import sys
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from kvdistill.cluster.code_snapshot import PACKAGE


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

    def start(folder: Path, size: int, _: str) -> forkserver.RankProcesses:
        started[folder.name] = size
        return forkserver.RankProcesses([Process() for _ in range(size)])

    monkeypatch.setattr(forkserver, "start_job", start)
    nodes = [
        Node("run", name, {"trained": True, "budget": {"num_gpus": ranks}}, {})
        for name, ranks in (("one", 1), ("wide", 4), ("two", 2))
    ]
    jobs = JobQueue(nodes, {node.name: tmp_path / node.name for node in nodes})
    jobs.start(slots=3)
    assert started == {"one": 1, "two": 2}
    jobs.running.clear()
    jobs.start(slots=3)
    assert started == {"one": 1, "two": 2, "wide": 4}


@pytest.mark.integration
def test_processes_run_the_copy_of_the_code_that_was_given_last(tmp_path: Path) -> None:
    """With a server that has nothing to import first; the copies differ in one file."""
    package = tmp_path / "src" / "kvdistill"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from kvdistill.cluster import code_snapshot, forkserver\n"
        "from kvdistill.cluster.run_module import call_in_server_process\n"
        "forkserver.SERVER.set_forkserver_preload([])\n"
        "root, package = Path(sys.argv[1]), Path(sys.argv[1], 'src', 'kvdistill')\n"
        "if __name__ == '__main__':\n"
        "    for text in ('A = 1', 'A = 2'):\n"
        "        (package / '__init__.py').write_text(text)\n"
        "        forkserver.serve_code(code_snapshot.take_snapshot(root, package))\n"
        "        (package / '__init__.py').write_text('A = 3')\n"
        "        print(call_in_server_process('builtins', 'eval', '__import__(\"kvdistill\").A'))\n"
        "    print(os.getenv('PYTHONPATH'), root in forkserver.find_served_package().parents)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True,
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
    )  # fmt: skip
    assert done.stdout.splitlines() == ["1", "2", "None True"]
