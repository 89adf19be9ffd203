"""SIGKILL and SIGTERM at any instant of a small sweep: data, teachers, stores, training, report."""

import os
import random
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import psutil

from tests.bench.faults.study import Calm, end, kill

SWEEPS, KILLS = 12, 10
IMPORTS_S = 4.0
"""What a repeated command takes before it comes to where the last one was."""


def faults(
    calm: Calm, place: Path, chance: random.Random, quick: bool
) -> Iterator[tuple[str, str]]:
    """Sweeps that are killed at instants drawn over the time that one takes, then finished."""
    for number in range(1 if quick else SWEEPS):
        root = place / str(number)
        instants = sorted(chance.uniform(0, calm.seconds) for _ in range(1 if quick else KILLS))
        done = []
        for before, instant in pairwise([0.0, *instants]):
            how, whom = chance.choice(HOW), chance.choice(WHOM)
            done.append(f"{how.name} of {whom} at {instant:.1f} s")
            disturb(calm, root, instant - before + IMPORTS_S * (before > 0), how, whom, chance)
        outcome = calm.judge(root, calm.run(root))
        yield from ((what, outcome) for what in done)


HOW = (signal.SIGKILL, signal.SIGTERM)
WHOM = ("all", "the command", "a job")


def disturb(
    calm: Calm, root: Path, instant: float, how: signal.Signals, whom: str, chance: random.Random
) -> None:
    """Starts the command and signals it, then lets what was not killed come to its end."""
    command = calm.start(root)
    with suppress(subprocess.TimeoutExpired):
        command.wait(instant)
    if whom == "all":
        kill(command, how)
        return
    with suppress(ProcessLookupError, psutil.NoSuchProcess):
        if whom == "the command":
            os.kill(command.pid, how)
        else:
            jobs = psutil.Process(command.pid).children(recursive=True)
            if jobs:
                chance.choice(jobs).send_signal(how)
    end(command)  # a job that outlives its command holds the pipe
