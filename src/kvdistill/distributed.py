"""What the ranks of one job have in common. A process alone is rank 0, and its own mean and sum."""

import platform
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

T = TypeVar("T")

RELEASE_S = 0.2
"""Seconds in which gloo's threads let go of their last collective, once nothing runs."""

_ended_groups: list[Any] = []


def is_distributed() -> bool:
    """Whether this process is one of several, already met (`jobs/rendezvous.py`)."""
    # A build of torch without distributed has no is_initialized to ask.
    return dist.is_available() and dist.is_initialized()


def get_rank() -> int:
    """This process's number among them."""
    return dist.get_rank() if is_distributed() else 0


def count_ranks() -> int:
    """How many processes there are."""
    return dist.get_world_size() if is_distributed() else 1


def select_own_share(items: Sequence[T]) -> Sequence[T]:
    """This process's share: every n-th item of n ranks, so that ordered items make like shares."""
    return items[get_rank() :: count_ranks()]


def is_rank_zero() -> bool:
    """Whether this process is the one that writes."""
    return get_rank() == 0


def all_reduce_sum(x: Tensor) -> Tensor:
    """Summed over ranks, all of which must call this; on the device of `x`, which stays."""
    if not is_distributed():
        return x
    # NCCL moves tensors of its own GPU only. all_reduce works in place, hence the copy.
    moved = x.to("cuda", copy=True) if dist.get_backend() == "nccl" else x.clone()
    dist.all_reduce(moved)
    return moved.to(x.device)


def all_reduce_mean(x: Tensor) -> Tensor:
    """Averaged over ranks, all of which must call this."""
    return all_reduce_sum(x) / count_ranks()


def gather_count(count: int) -> list[int]:
    """A number of each rank, in their order; every rank must call this, and none goes on before."""
    counts = torch.zeros(count_ranks(), dtype=torch.long)
    counts[get_rank()] = count
    gathered: list[int] = all_reduce_sum(counts).tolist()
    return gathered


def broadcast_from_zero(value: Any) -> Any:
    """What rank 0 passes, on every rank, all of which must call this; anything that pickles."""
    if not is_distributed():
        return value
    box = [value]
    dist.broadcast_object_list(box)
    return box[0]


def gather_objects(value: Any) -> list[Any]:
    """What each rank passes, in their order, on every rank; all must call this."""
    if not is_distributed():
        return [value]
    values: list[Any] = [None] * count_ranks()
    dist.all_gather_object(values, value)
    return values


def describe_device() -> str:
    """The kind of processor that this rank computes on: measured times compare within one alone.

    A GPU's name, or the CPU's model with the number of threads that torch uses.
    """
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{read_cpu_model()}, {torch.get_num_threads()} threads"


def read_cpu_model() -> str:
    """The CPU's model, as Linux has it; elsewhere what Python knows, which may be less."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    # ARM's /proc/cpuinfo names no model.
    return next(iter(models), "") or platform.processor() or platform.machine()


def get_local_device() -> torch.device:
    """Where this process computes: its own GPU, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cpu")


def destroy_process_group() -> None:
    """Ends the collectives, even while a DDP model still refers to them; nothing without any.

    A collective of a backward carries Python's context (torch.autograd.graph stashes it in the
    thread's state), and gloo's thread that ran it takes the GIL to let go of it.
    """
    if not is_distributed():
        return
    # Where DDP's Reducer has the last reference to a group, its end joins those threads with the
    # GIL held: a deadlock. Ours is never dropped, so the Reducer's is not the last one.
    _ended_groups.append(dist.group.WORLD)
    dist.destroy_process_group()
    # A thread that takes the GIL after the interpreter's end has begun aborts the process.
    time.sleep(RELEASE_S)
