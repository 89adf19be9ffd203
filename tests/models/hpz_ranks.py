"""What each of four ranks, two a node, computes with a teacher in parts; started by test_zero3."""

import os
from pathlib import Path
from typing import Any

import torch

from tests.models.zero3_ranks import capture_layers, load_teacher_body, max_difference

NODES, RANKS_PER_NODE = 2, 2


def run_rank(rank: int, folder: str, port: int) -> None:
    """Saves what a rank measures: (difference to the whole model, ranks of each gather, parts)."""
    os.environ |= {
        "RANK": str(rank), "WORLD_SIZE": str(NODES * RANKS_PER_NODE),
        "LOCAL_RANK": str(rank % RANKS_PER_NODE), "LOCAL_WORLD_SIZE": str(RANKS_PER_NODE),
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
    }  # fmt: skip
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo")
    weights = Path(folder)
    body: Any = load_teacher_body(weights, "a", "float32", "zero3", 2)
    whole = capture_layers(load_teacher_body(weights, "a", "float32", "none", 2), rank)
    gathers = record_gathers()
    differences = [max_difference(capture_layers(body, rank), whole) for _ in range(3)]
    part = next(p for name, p in body.named_parameters() if "layers.0.mlp.gate_proj" in name)
    parts = (part.ds_numel, part.ds_tensor.numel(), part.ds_secondary_tensor.numel())
    torch.save((differences, gathers, parts), weights / f"hpz{rank}.pt")
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


def record_gathers() -> list[int]:
    """The number of ranks of every gather from now on, as they come."""
    import deepspeed.comm
    from deepspeed.runtime.zero import partition_parameters

    sizes: list[int] = []
    gather = partition_parameters._dist_allgather_fn

    def gather_and_note(part: Any, whole: Any, group: Any = None) -> Any:
        sizes.append(deepspeed.comm.get_world_size(group))
        return gather(part, whole, group)

    partition_parameters._dist_allgather_fn = gather_and_note
    return sizes
