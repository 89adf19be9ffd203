"""The processes of one job: which one this is, when it may begin, and that all end alike.

RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT say it, as torchrun and submitit's
TorchDistributedEnvironment set them; without them the process is alone. The ranks meet in torch's
key-value store, where waiting has no time limit of a collective: rank 0 may wait for a lease, or
evaluate, for hours.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from kvdistill.errors import ConfigError

VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
POLL_S = 0.2
GRACE_S = 10.0
"""Seconds in which a rank may end by itself once another failed."""
MEETING = timedelta(minutes=10)
"""How long the first rank waits for the last."""
COLLECTIVE = timedelta(hours=2)
"""A collective may last as long as rank 0 alone scores the model within training."""

Failure = tuple[int, str]
"""Exit code and the one line that says why."""


@dataclass
class Ranks:
    """One of `size` processes. Alone, it waits for nobody."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    store: Any = None
    """torch's store, once they have met."""
    ended: threading.Event = field(default_factory=threading.Event)
    watcher: threading.Thread | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Ranks":
        """Raises ConfigError where only some of the variables are set, or are no numbers."""
        if "RANK" not in environment and "WORLD_SIZE" not in environment:
            return cls()
        missing = [name for name in VARIABLES if name not in environment]
        if missing:
            raise ConfigError(
                f"{', '.join(missing)} must be set beside RANK and WORLD_SIZE. Start ranks with "
                f"torchrun, or unset both for a single process."
            )
        try:
            rank, size, local = (int(environment[name]) for name in VARIABLES[:3])
        except ValueError as error:
            raise ConfigError(f"RANK, WORLD_SIZE and LOCAL_RANK must be numbers: {error}") from None
        return cls(rank, size, local)

    def check_world_size(self, world_size: int) -> None:
        """Raises ConfigError where the job wants another number of processes."""
        if self.size != world_size:
            raise ConfigError(
                f"budget.num_gpus gives this job {world_size} "
                f"process{'es' if world_size > 1 else ''}, but "
                f"WORLD_SIZE is {self.size}. Start {world_size}, or divide the batch otherwise: "
                f"batch_size x num_gpus x grad_accum must stay."
            )

    def meet(self, failed: Callable[[Failure], None]) -> None:
        """Waits for all ranks. Once one of them has failed, this one ends too.

        `failed`, called from a thread of its own, records it.
        """
        if self.size == 1:
            return
        # torch is slow to import, and a process alone needs none of this.
        from torch.distributed import rendezvous

        self.store, _, _ = next(rendezvous("env://", timeout=MEETING))
        self.watcher = threading.Thread(
            target=self.watch_for_failure, args=(self.store.clone(), failed), daemon=True
        )
        self.watcher.start()

    def connect(self) -> None:
        """Opens the collectives: NCCL between GPUs, gloo between CPUs."""
        if self.size == 1:
            return
        # torch is slow to import, and a process alone needs none of it.
        import torch
        from torch import distributed

        gpu = torch.cuda.is_available()
        if gpu:
            torch.cuda.set_device(self.local_rank)
        distributed.init_process_group(
            "nccl" if gpu else "gloo",
            store=distributed.PrefixStore("collectives", self.store),
            rank=self.rank,
            world_size=self.size,
            timeout=COLLECTIVE,
        )

    def watch_for_failure(self, store: Any, failed: Callable[[Failure], None]) -> None:
        """Records another rank's failure, and ends this one if it hangs in a collective."""
        failure: Failure | None = None
        while failure is None:
            if self.ended.wait(POLL_S):
                return
            try:
                failure = read_failure(store)
            except RuntimeError:
                failure = (1, "rank 0 is gone")
        failed(failure)
        if self.rank == 0:
            store.set("recorded", "")
        if not self.ended.wait(GRACE_S):
            failed(failure)
            # A thread inside a collective never sees an exception; only the process can end.
            os._exit(failure[0])

    def send(self, key: str, value: str) -> None:
        """Lets the other ranks read it."""
        if self.store is not None:
            self.store.set(key, value)

    def receive(self, key: str) -> str:
        """What another rank tells under the key, whenever it does."""
        while not self.store.check([key]):
            time.sleep(POLL_S)
        return str(self.store.get(key).decode())

    def report_failure(self, failure: Failure) -> Failure:
        """Tells a failure; returns the first one told, which is the cause of the others.

        A launcher ends all ranks when the first exits, so that one waits till rank 0 recorded it.
        """
        if self.store is None:
            return failure
        try:
            first = self.store.compare_set("failed", "", json.dumps(failure))
            if self.rank > 0:
                self.store.wait(["recorded"], timedelta(seconds=GRACE_S))
        except RuntimeError:  # rank 0, and perhaps the store with it, is gone
            return failure
        code, line = json.loads(first)
        return int(code), str(line)

    def leave(self) -> None:
        """The last thing a rank does; rank 0, which may hold the store, leaves last."""
        # While the watcher still runs: it ends a rank whose group does not end for want of another.
        end_collectives()
        self.ended.set()
        if self.store is None:
            return
        if self.watcher is not None:
            # A thread that is within the store when the interpreter ends would abort the process.
            self.watcher.join(GRACE_S)
        try:
            self.store.set(f"left{self.rank}", "")
            if self.rank == 0:
                others = [f"left{rank}" for rank in range(1, self.size)]
                self.store.wait(others, timedelta(seconds=2 * GRACE_S))
        except RuntimeError:
            pass  # one that was killed cannot say so


def end_collectives() -> None:
    """Ends the process group, whoever opened it: ZeRO-3 opens one for a process alone too."""
    if "torch" in sys.modules:  # else nobody opened one, and a job that failed early stays quick
        from kvdistill import distributed  # imports torch

        distributed.destroy_process_group()


def read_failure(store: Any) -> Failure | None:
    """The failure that some rank told. Raises RuntimeError where the store is gone."""
    if not store.check(["failed"]):
        return None
    code, line = json.loads(store.get("failed"))
    return int(code), str(line)
