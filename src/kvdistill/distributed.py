"""What the ranks of one job have in common. A process alone leads, and is its own mean and sum."""

import torch
from torch import Tensor, distributed


def is_distributed() -> bool:
    """Whether this process is one of several, already met (`jobs/rendezvous.py`)."""
    return distributed.is_available() and distributed.is_initialized()


def get_rank() -> int:
    """This process's number among them."""
    return distributed.get_rank() if is_distributed() else 0


def is_rank_zero() -> bool:
    """Whether this process is the one that writes."""
    return get_rank() == 0


def all_reduce_sum(x: Tensor) -> Tensor:
    """Summed over ranks, all of which must call this; on the device of `x`."""
    if not is_distributed():
        return x
    # NCCL moves tensors of its own GPU only.
    nccl = distributed.get_backend() == "nccl"
    moved = x.to("cuda") if nccl else x.clone()
    distributed.all_reduce(moved)
    return moved.to(x.device)


def all_reduce_mean(x: Tensor) -> Tensor:
    """Averaged over ranks, all of which must call this."""
    return all_reduce_sum(x) / distributed.get_world_size() if is_distributed() else x


def get_local_device() -> torch.device:
    """Where this process computes: its own GPU, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cpu")
