"""log.txt in a job's folder: what its process prints, wherever the job runs."""

import os
import sys
from pathlib import Path

from kvdistill import layout


def redirect_output(folder: Path) -> None:
    """Sends this process's stdout and stderr to log.txt, file descriptors and all."""
    log = os.open(folder / layout.LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        # Libraries written in C print past sys.stdout, so the descriptor itself is replaced.
        os.dup2(log, stream.fileno())
