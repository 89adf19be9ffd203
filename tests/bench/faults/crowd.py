"""Several commands for one study at once, and one that dies while another waits for it."""

import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from tests.bench.faults.study import Calm, end, kill


def faults(
    calm: Calm, place: Path, chance: random.Random, quick: bool
) -> Iterator[tuple[str, str]]:
    """Two and eight at once; then a first one killed while a second waits for its lease."""
    for size in (2,) if quick else (2, 8):
        root = place / f"{size}"
        # In a hurry the last of them is the server's, in a process of its own all the same.
        commands = [calm.start(root) for _ in range(size - quick)]
        ended = [calm.run(root)] if quick else []
        ended += map(end, commands)
        judged = sorted(calm.judge(root, one) for one in ended)
        yield f"{size} commands at once", judged[-1]  # wrong sorts behind same
        shutil.rmtree(root)
    for number in range(0 if quick else 6):
        root = place / f"holder-{number}"
        first = calm.start(root)
        time.sleep(2)
        second = calm.start(root)
        instant = chance.uniform(2, calm.seconds / 2)
        time.sleep(instant)
        kill(first)
        yield (
            f"the first of two killed at {instant + 2:.1f} s",
            calm.judge(root, end(second)),
        )
        shutil.rmtree(root)
