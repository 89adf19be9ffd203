"""Strange commands and strange data files: each is accepted, or refused in one line.

Run as `python -m tests.bench.fuzz [--quick] [--seed N] [--only config|data]`.
"""

import argparse
import faulthandler
import json
import os
import random
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import hypothesis
from hydra import initialize_config_dir

from tests.config import strange
from tests.config.strange import Outcome
from tests.data import fuzz_files as files

NUMBER = {"config": 2000, "data": 500}
QUICK = {"config": 100, "data": 30}
SHELLED = 20
BOUNDS = {"most_faults": 0, "most_s": 30.0, "least_accepted": 0.02, "least_refused": 0.3}
STUCK_S = 300
"""After which the process itself is ended, with where it was."""

Seen = list[tuple[Any, Outcome]]


def main() -> int:
    """Prints the figures; 0 if every bound holds."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="fewer, same figures")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=sorted(NUMBER))
    parser.add_argument("--number", type=int, help="of each; 2000 commands and 500 files")
    arguments = parser.parse_args()
    figures, fault_lines = {}, []
    for name in [arguments.only] if arguments.only else NUMBER:
        number = (QUICK if arguments.quick else NUMBER)[name]
        seen = RUN[name](arguments.number or number, arguments.seed)
        chosen = random.Random(arguments.seed).sample(seen, 2 if arguments.quick else SHELLED)
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            shelled = [
                fault for fault in pool.map(SHELL[name], *zip(*chosen, strict=True)) if fault
            ]
        fault_lines += [
            f"{f.fault}: {given!r:.2000}: {f.message[:300]!r}" for given, f in seen if f.fault
        ]
        fault_lines += shelled
        figures[name] = summary(seen) | {"shelled": len(chosen), "shelled_faults": len(shelled)}
    sys.stdout.write("".join(f"{line}\n" for line in fault_lines))
    ok = all(holds(each) for each in figures.values())
    last = {"name": "fuzz", "seed": arguments.seed, "figures": figures, "bounds": BOUNDS, "ok": ok}
    sys.stdout.write(json.dumps(last) + "\n")
    return 0 if ok else 1


def holds(figures: dict[str, int | float]) -> bool:
    """Whether the figures of one kind keep the bounds."""
    return (
        figures["faults"] + figures["shelled_faults"] <= BOUNDS["most_faults"]
        and figures["longest_s"] <= BOUNDS["most_s"]
        and figures["accepted"] >= BOUNDS["least_accepted"] * figures["tried"]
        and figures["refused"] >= BOUNDS["least_refused"] * figures["tried"]
    )


def configs(number: int, seed: int) -> Seen:
    """Tries commands."""
    with tempfile.TemporaryDirectory() as root, conf():
        commands = strange.commands(strange.known_paths())
        return gather(commands, lambda given: strange.try_command(given, Path(root)), number, seed)


def data(number: int, seed: int) -> Seen:
    """Tries data files."""

    def try_file(given: files.UserData) -> Outcome:
        with tempfile.TemporaryDirectory() as folder:
            return files.run_example(given, Path(folder))

    with conf():
        return gather(files.user_data(), try_file, number, seed)


def conf() -> AbstractContextManager[Any]:
    """Hydra on the project's own conf/."""
    return initialize_config_dir(str(strange.ROOT / "conf"), version_base="1.3")


RUN: dict[str, Callable[[int, int], Seen]] = {"config": configs, "data": data}


def gather(
    strategy: hypothesis.strategies.SearchStrategy[Any],
    try_example: Callable[[Any], Outcome],
    number: int,
    seed: int,
) -> Seen:
    """Tries `number` different examples, the same for the same seed."""
    known: set[str] = set()
    seen: Seen = []

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=2 * number, database=None, deadline=None, derandomize=False,
        phases=[hypothesis.Phase.generate], suppress_health_check=list(hypothesis.HealthCheck),
    )  # fmt: skip
    @hypothesis.given(strategy)
    def run_example(given: Any) -> None:
        if len(seen) < number and repr(given) not in known:
            known.add(repr(given))
            faulthandler.dump_traceback_later(STUCK_S, exit=True)
            seen.append((given, try_example(given)))
            faulthandler.cancel_dump_traceback_later()
            if seen[-1][1].fault:
                sys.stderr.write(f"{seen[-1][1]}: {given!r:.2000}\n")

    run_example()
    return seen


def run_launcher(command: Sequence[str], root: str) -> subprocess.CompletedProcess[str]:
    """launch.py itself."""
    return subprocess.run(
        [sys.executable, "launch.py", *command, f"root={root}"],
        cwd=strange.ROOT, capture_output=True, text=True, check=False, timeout=300,
        env={**os.environ, "PYTHONPATH": "src"},
    )  # fmt: skip


def shell_config(command: list[str], outcome: Outcome) -> str:
    """What is wrong with what launch.py itself says of a command; empty for nothing."""
    if any("\0" in item or not item.isprintable() for item in command):
        return ""  # no argument of a process
    with tempfile.TemporaryDirectory() as folder:
        done = run_launcher([*command, "stage=plan"], folder)
        if "Traceback" in done.stderr + done.stdout or done.returncode not in (0, 2):
            return f"exit {done.returncode}: {command!r}: {done.stderr[-300:]!r}"
        if done.returncode == 2 and (done.stderr.count("\n") != 1 or outcome.accepted):
            return f"refused otherwise: {command!r}: {done.stderr[-300:]!r}"
        return "" if not any(Path(folder).iterdir()) else f"left something: {command!r}"


def shell_data(given: files.UserData, outcome: Outcome) -> str:
    """What is wrong with what stage=data says of a file; empty for nothing."""
    with tempfile.TemporaryDirectory() as folder:
        place, root = files.write_files(given, Path(folder, "given")), Path(folder, "root")
        done = run_launcher(["stage=data", *files.write_command(given, place)], str(root))
        errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
        ending = f"exit {done.returncode}: {given!r:.2000}: {done.stderr[-300:]!r}"
        if "Traceback" in done.stderr + done.stdout or done.returncode not in (0, 1, 2):
            return ending
        # Against the tasks' own items more is refused than in a split alone.
        refused = len(errors) == 1 and (not outcome.accepted or "data leaks" in errors[0])
        split = list(root.glob("artifacts/split-*/*.jsonl"))
        if done.returncode == 0:
            return "" if outcome.accepted and len(split) == 4 else f"accepted otherwise: {ending}"
        if not refused or (not outcome.accepted and split):
            return f"refused otherwise: {ending}"
    return ""


SHELL: dict[str, Callable[[Any, Outcome], str]] = {"config": shell_config, "data": shell_data}


def summary(seen: Seen) -> dict[str, int | float]:
    """Counts and times of all examples."""
    times = sorted(outcome.seconds for _, outcome in seen)
    faults = Counter(outcome.fault for _, outcome in seen if outcome.fault)
    return {
        "tried": len(seen),
        "accepted": sum(outcome.accepted for _, outcome in seen),
        "refused": sum(not outcome.accepted and not outcome.fault for _, outcome in seen),
        "faults": sum(faults.values()),
        "median_s": round(times[len(times) // 2], 3),
        "longest_s": round(times[-1], 3),
    }


if __name__ == "__main__":
    sys.exit(main())
