"""A process group ends without waiting for its threads where that could wait for ever."""

import gc
import sys
from pathlib import Path

import pytest


def count_gloo_threads() -> int:
    """Threads of this process that run gloo's collectives."""
    names = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    return names.count("pt_gloo_runloop")


@pytest.mark.integration
@pytest.mark.skipif(sys.platform != "linux", reason="names of threads are read from /proc")
def test_a_ddp_model_that_outlives_its_group_does_not_join_the_groups_threads() -> None:
    # ~Reducer would join them with the GIL held, while one of them may wait for the GIL.
    import torch
    import torch.distributed as dist

    from kvdistill import distributed

    counts = [count_gloo_threads()]
    # Two groups, for torch itself remembers the last one that a DDP model has had.
    for _ in range(2):
        dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
        model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(2, 2))
        model(torch.ones(1, 2)).sum().backward()
        distributed.destroy_process_group()
        assert not distributed.is_distributed()
        del model
        gc.collect()
        counts.append(count_gloo_threads())
    assert counts[2] > counts[1] > counts[0]


def test_without_a_group_there_is_nothing_to_end() -> None:
    from kvdistill import distributed

    distributed.destroy_process_group()
    assert not distributed.is_distributed()
    assert distributed.is_rank_zero()
