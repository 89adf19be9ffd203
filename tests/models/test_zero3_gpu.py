"""Two NCCL ranks on two GPUs: sharded teachers, and a whole run. Not run so far.

    pytest -m gpu

Skipped where there are fewer GPUs.
"""

import os
from pathlib import Path
from typing import Any

import pytest

from tests.models.zero3_ranks import (
    LAYERS,
    capture_layers,
    load_teacher_body,
    max_difference,
    save_teachers,
)

pytestmark = pytest.mark.gpu
CASES = [("a", "float32"), ("b", "float32"), ("a", "bfloat16"), ("b", "bfloat16")]


@pytest.fixture(scope="module", autouse=True)
def _gpus() -> None:
    import torch

    if torch.cuda.device_count() < 2:
        pytest.skip(f"needs two CUDA devices, this machine has {torch.cuda.device_count()}")


def run_rank(rank: int, folder: str) -> None:
    """One of two NCCL ranks: K and V of every case, plain and sharded; a mean over both."""
    import torch
    import torch.distributed as dist

    from kvdistill import distributed

    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank)}
    torch.cuda.set_device(rank)
    store = dist.FileStore(str(Path(folder) / "store"), 2)
    dist.init_process_group("nccl", store=store, rank=rank, world_size=2)
    own = torch.tensor([float(rank)], device="cuda")
    results: dict[Any, Any] = {"mean": float(distributed.all_reduce_mean(own)), "own": float(own)}
    for name, dtype in CASES:
        plain_layers = capture_layers(
            load_teacher_body(Path(folder), name, dtype, "none", LAYERS[-1]), rank
        )
        for shard in ("zero3", "zero3_offload"):
            sharded_layers = capture_layers(
                load_teacher_body(Path(folder), name, dtype, shard, LAYERS[-1]), rank
            )
            results[name, dtype, shard] = max_difference(plain_layers, sharded_layers)
    torch.save(results, Path(folder) / f"seen{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.timeout(600)
def test_nccl_ranks_see_the_plain_models_k_and_v(tmp_path: Path) -> None:
    import torch

    save_teachers(tmp_path)
    torch.multiprocessing.spawn(run_rank, args=(str(tmp_path),), nprocs=2)
    for rank in range(2):
        results = torch.load(tmp_path / f"seen{rank}.pt", weights_only=False)
        assert results.pop("mean") == 0.5
        assert results.pop("own") == rank
        assert len(results) == 2 * len(CASES)
        assert set(results.values()) == {0.0}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("bf16", [False, True])
def test_a_run_on_two_gpus_ends(tmp_path: Path, bf16: bool) -> None:
    from tests.end_to_end.test_launch import TWO
    from tests.launch_server import launch

    done = launch(
        f"root={tmp_path}", *TWO, "budget.batch_size=8", "budget.num_gpus=2", f"train.bf16={bf16}",
        "teachers.a.placement.shard=zero3", "train=zero2", "references=false",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
