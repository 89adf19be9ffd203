"""What two ranks compute that share all of a test's objects: forked, so nothing is read anew."""

import multiprocessing
import os
import pickle
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

DEADLINE_S = 60


def compute_on_two_ranks(
    compute: Callable[[int], Any], folder: Path, seconds: float = DEADLINE_S
) -> list[Any]:
    """What `compute`, called with the rank, returns on each of two gloo ranks; it must pickle.

    Fails where one raises, or is not done in as many seconds.
    """
    folder.mkdir(parents=True, exist_ok=True)
    fork = multiprocessing.get_context("fork")
    ranks = [fork.Process(target=_run_rank, args=(rank, compute, folder)) for rank in range(2)]
    for process in ranks:
        process.start()
    deadline = time.monotonic() + seconds
    try:
        while any(process.is_alive() for process in ranks):
            assert time.monotonic() < deadline, "the ranks do not end"
            # The other one may wait for it for ever.
            assert not any(process.exitcode for process in ranks), "a rank has failed; see above"
            ranks[0].join(0.02)
            ranks[1].join(0.02)
    finally:
        for process in ranks:
            process.kill()
    assert not any(process.exitcode for process in ranks), "a rank has failed; see above"
    return [pickle.loads((folder / f"rank{rank}").read_bytes()) for rank in range(2)]


def _run_rank(rank: int, compute: Callable[[int], Any], folder: Path) -> None:
    from tests.train.ranks import join_two_ranks

    try:
        with join_two_ranks(rank, folder):
            result = compute(rank)
        (folder / f"rank{rank}").write_bytes(pickle.dumps(result))
    except BaseException:  # noqa: BLE001 - the parent fails by the exit code
        traceback.print_exc()
        os._exit(1)
    os._exit(0)  # what pytest would do at the end is the parent's
