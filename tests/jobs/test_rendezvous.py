"""Several processes as one job: they begin together, and whatever becomes of one, all end."""

import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from kvdistill.plan.frozen_recipe import seal_recipe

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
ALONE = {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "MASTER_ADDR": "h", "MASTER_PORT": "1"}
ENDING = """
import os, sys, tempfile
import torch
from torch import distributed
from kvdistill.jobs.rendezvous import end_collectives
def end(rank, meeting):
    sys.setswitchinterval(1000.0)  # only who waits for the GIL when this thread waits gets it
    store = distributed.FileStore(meeting, 2)
    distributed.init_process_group("gloo", store=store, rank=rank, world_size=2)
    for work in [distributed.all_reduce(torch.ones(9), async_op=True) for _ in range(3)]:
        work.wait()
    end_collectives()
codes = []
for again in range(10):
    meeting = tempfile.mktemp()
    for rank in (0, 1):
        if os.fork() == 0:
            end(rank, meeting)
            sys.exit()
    codes += [os.wait()[1] for _ in (0, 1)]
sys.exit(any(codes))
"""


def build(recipe: dict, _: dict, folder: Path, __: object) -> dict:
    """In place of the true builders: a sum over the ranks, or what becomes of one of them."""
    import torch

    from kvdistill.errors import ConfigError

    rank = int(os.environ["RANK"])
    if recipe["does"] == "raise" and rank == 1:
        raise ConfigError("rank 1 cannot")
    if recipe["does"] == "die" and rank == 1:
        os._exit(9)
    if recipe["does"] == "hang":
        if rank == 1:
            raise RuntimeError("rank 1 broke")
        time.sleep(600)
    mine = torch.ones(1) * (rank + 1)
    torch.distributed.all_reduce(mine)
    if rank == 0:
        (folder / "sum.txt").write_text(str(mine.item()))
    return {"said": rank}


def do_rank(where: Path, variables: dict[str, str]) -> None:
    """One process of a job; its exit code is the job's."""
    from kvdistill.jobs import __main__ as job
    from kvdistill.jobs import rendezvous

    os.environ.update(variables)
    rendezvous.GRACE_S = 3.0
    sys.modules["kvdistill.jobs.builders"] = SimpleNamespace(BUILDERS={"run": build})  # type: ignore[assignment]
    sys.exit(job.main(where))


def write_run(tmp_path: Path, does: str, num_gpus: int = 2) -> Path:
    """A frozen run whose builder is the one above."""
    run = tmp_path / "runs/s/runs/seed1-abc"
    run.mkdir(parents=True)
    recipe = {"trained": True, "budget": {"num_gpus": num_gpus}, "does": does}
    frozen = {"kind": "run", "needs": {}, "recipe": recipe}
    (run / "config.yaml").write_text(seal_recipe(frozen))
    return run


def run_ranks(where: Path, size: int = 2) -> list[int | None]:
    """Exit codes of the ranks, started as torchrun would."""
    from kvdistill.cluster.forkserver import find_free_port

    port = str(find_free_port())
    # Forked, for torch is here already.
    fork = multiprocessing.get_context("fork")
    jobs = [
        fork.Process(
            target=do_rank,
            args=(
                where,
                {
                    "RANK": str(rank), "WORLD_SIZE": str(size), "LOCAL_RANK": str(rank),
                    "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port,
                },
            ),
        )
        for rank in range(size)
    ]  # fmt: skip
    for job in jobs:
        job.start()
    try:
        for job in jobs:
            job.join(100)
        return [job.exitcode for job in jobs]
    finally:
        for job in jobs:
            job.kill()


def status(where: Path) -> dict:
    from kvdistill.status import read_status

    return read_status(where)


def test_the_ranks_compute_together_and_rank_0_writes(tmp_path: Path) -> None:
    from kvdistill.files import read_json

    where = write_run(tmp_path, "sum")
    assert run_ranks(where) == [0, 0]
    assert (where / "sum.txt").read_text() == "3.0"
    manifest = read_json(where / "manifest.json")
    assert (manifest["said"], manifest["ranks"]) == (0, 2)
    began = time.monotonic()
    assert run_ranks(where) == [0, 0]  # done already: nobody computes
    assert time.monotonic() - began < 60
    assert read_json(where / "manifest.json") == manifest


@pytest.mark.parametrize(
    ("does", "codes", "says"),
    [
        ("raise", [2, 2], "rank 1 cannot"),
        ("hang", [1, 1], "RuntimeError: rank 1 broke"),
        ("die", [1, 9], "RuntimeError"),
    ],
)
def test_the_failure_of_one_ends_all_and_is_recorded(
    tmp_path: Path, does: str, codes: list[int], says: str
) -> None:
    where = write_run(tmp_path, does)
    assert run_ranks(where) == codes
    assert status(where)["state"] == "failed"
    assert says in status(where)["error"]


def test_a_rank_ends_whatever_the_threads_of_its_collectives_still_hold() -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", ENDING], env=environment, check=True, timeout=100)


def test_another_number_of_ranks_is_refused_by_name(tmp_path: Path) -> None:
    where = write_run(tmp_path, "sum", num_gpus=3)
    assert run_ranks(where) == [2, 2]
    assert (
        "budget.num_gpus gives this job 3 processes, but WORLD_SIZE is 2" in status(where)["error"]
    )


def test_a_process_without_the_variables_is_alone() -> None:
    from kvdistill.jobs.rendezvous import Ranks

    alone = Ranks.from_environment({"PATH": "/"})
    assert (alone.rank, alone.size) == (0, 1)
    assert Ranks.from_environment(ALONE).size == 2


@pytest.mark.parametrize("variable", ["RANK", "LOCAL_RANK", "MASTER_PORT"])
def test_a_missing_variable_is_named(variable: str) -> None:
    from kvdistill.errors import ConfigError
    from kvdistill.jobs.rendezvous import Ranks

    with pytest.raises(ConfigError, match=f"^{variable} must be set"):
        Ranks.from_environment({key: value for key, value in ALONE.items() if key != variable})


def test_only_what_is_trained_takes_all_gpus() -> None:
    from kvdistill.plan.world_size import world_size

    recipe = {"trained": True, "budget": {"num_gpus": 8}}
    assert world_size("run", recipe) == 8
    assert world_size("run", recipe | {"trained": False}) == 1
    assert world_size("split", {"data": {}}) == 1
