"""A process that kills itself in the middle of training, once: how stage=smoke proves a resume."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

from kvdistill import layout
from kvdistill.files import write_json

Progress = Callable[[int, int], None]


def kill_at_step(step: int, folder: Path, progress: Progress) -> Progress:
    """`progress`, which kills this process once the step is done, unless it has done so before.

    As a node that fails would: no handler runs, nothing is saved. The folder keeps that it was.
    """
    marker = folder / layout.KILLED

    def report_or_kill(done: int, steps: int) -> None:
        progress(done, steps)
        if done >= step and not marker.exists():
            write_json(marker, {"step": done})
            os.kill(os.getpid(), signal.SIGKILL)

    return report_or_kill
