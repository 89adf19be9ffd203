"""A case in a process of its own, forked before a GPU is opened, with a bound on its time.

What one case holds or breaks is so none of the next one's; what torch and transformers take to
import is paid once.
"""

import multiprocessing
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

Measure = Callable[[], Mapping[str, Any]]


def run_forked(measure: Measure, log: Path, limit_s: float) -> dict[str, Any]:
    """What `measure` gave with its `status`: measured, failed, or out of time.

    What it prints goes to `log`, and of an error the last line is `why`.
    """
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=run_child, args=(measure, sender, log))
    process.start()
    sender.close()
    try:
        if not receiver.poll(limit_s):
            return {"status": "out of time", "why": f"not done in {limit_s:.0f} s"}
        result: dict[str, Any] = receiver.recv()
    except EOFError:
        process.join()
        return {"status": "failed", "why": f"its process ended with {process.exitcode}"}
    finally:
        process.kill()  # of its own accord it might wait for a device
        process.join()
    return result


def run_child(measure: Measure, sender: Connection, log: Path) -> None:
    """Measures and sends what came of it."""
    with log.open("a", encoding="utf-8") as file:
        os.dup2(file.fileno(), sys.stdout.fileno())
        os.dup2(file.fileno(), sys.stderr.fileno())
        try:
            sender.send({"status": "measured"} | dict(measure()))
        except Exception as error:  # noqa: BLE001 - the last frame: every failure is recorded
            traceback.print_exc()
            line = f"{type(error).__name__}: {error}".splitlines()[0]
            sender.send({"status": "failed", "why": line[:300]})
        sys.stdout.flush()
        sys.stderr.flush()
