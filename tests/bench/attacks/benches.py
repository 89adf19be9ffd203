"""The benches themselves, in a hurry: one used to end in a traceback, one took seven minutes."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from tests.bench.attacks.outcome import Outcome
from tests.bench.attacks.studies import HOME

MOST_S = 60.0
"""On a machine that does nothing else."""
MOST_BUSY = 1.2
"""Programs that wait for a core, by core: above it, another program takes this one's time."""


def attack_27_bench_of_the_cluster(_: Path) -> Outcome:
    """`python -m tests.bench.cluster --quick` ended in a FileNotFoundError of routing.json."""
    return run_bench("cluster")


def attack_27_bench_of_faults(_: Path) -> Outcome:
    """`python -m tests.bench.faults --quick` took over seven minutes."""
    return run_bench("faults")


def run_bench(name: str) -> Outcome:
    """One bench in a hurry: it must end with its JSON, keep its bounds, and be done in time.

    On a busy machine the time is told and not judged: it is other programs' too. It works in a
    folder of its own: munge takes no socket below one that others may not enter.
    """
    busy = os.getloadavg()[0] / len(os.sched_getaffinity(0)) > MOST_BUSY
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", f"tests.bench.{name}", "--quick"],
        cwd=HOME, env=os.environ | {"PYTHONPATH": "src"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    seconds = time.monotonic() - began
    try:
        report = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        return Outcome("passed", f"{name} ends with {done.returncode}: {done.stderr[-200:]}")
    evidence = f"{name} --quick ends with ok={report['ok']} after {seconds:.0f} s"
    if not report["ok"]:
        return Outcome("passed", f"{evidence}: {report['figures']}, bounds {report['bounds']}")
    if seconds > MOST_S and not busy:
        return Outcome("passed", f"{evidence}, on a machine that did nothing else")
    return Outcome("refused", evidence + (" (a busy machine)" if busy else ""))
