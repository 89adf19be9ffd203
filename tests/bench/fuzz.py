"""Strange configurations: each is planned, or refused in one line that names the setting.

Run as `python -m tests.bench.fuzz [--quick] [--seed N]`.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import hypothesis
from hydra import initialize_config_dir

from tests.config import strange

BOUNDS = {"most_faults": 0, "most_s": 30.0, "least_accepted": 0.02, "least_refused": 0.3}
SHELLED = 20


def main() -> int:
    """Prints the figures; 0 if every bound holds."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="fewer, same figures")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--number", type=int, default=2000)
    arguments = parser.parse_args()
    number = 100 if arguments.quick else arguments.number
    seen: list[tuple[list[str], strange.Outcome]] = []
    with tempfile.TemporaryDirectory() as folder:
        with initialize_config_dir(str(strange.ROOT / "conf"), version_base="1.3"):
            gather(number, arguments.seed, Path(folder), seen)
        chosen = random.Random(arguments.seed).sample(seen, 2 if arguments.quick else SHELLED)
        shelled = [wrong for command, found in chosen if (wrong := shell(command, found, folder))]
    for command, found in seen:
        if found.fault:
            sys.stdout.write(f"{found.fault}: {command!r}: {found.said[:300]!r}\n")
    for wrong in shelled:
        sys.stdout.write(f"{wrong}\n")
    figures = summary(seen) | {"shelled": len(chosen), "shelled_faults": len(shelled)}
    ok = (
        figures["faults"] + len(shelled) <= BOUNDS["most_faults"]
        and figures["longest_s"] <= BOUNDS["most_s"]
        and figures["accepted"] >= BOUNDS["least_accepted"] * len(seen)
        and figures["refused"] >= BOUNDS["least_refused"] * len(seen)
    )
    said = {"name": "fuzz", "seed": arguments.seed, "figures": figures, "bounds": BOUNDS, "ok": ok}
    sys.stdout.write(json.dumps(said) + "\n")
    return 0 if ok else 1


def gather(
    number: int, seed: int, root: Path, seen: list[tuple[list[str], strange.Outcome]]
) -> None:
    """Tries `number` different commands, the same for the same seed."""
    known: set[tuple[str, ...]] = set()

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=2 * number, database=None, deadline=None, derandomize=False,
        phases=[hypothesis.Phase.generate], suppress_health_check=list(hypothesis.HealthCheck),
    )  # fmt: skip
    @hypothesis.given(strange.commands(strange.known_paths()))
    def each(command: list[str]) -> None:
        if len(seen) < number and tuple(command) not in known:
            known.add(tuple(command))
            seen.append((command, strange.tried(command, root)))
            if seen[-1][1].fault:
                sys.stderr.write(f"{seen[-1]!r}\n")

    each()


def shell(command: list[str], found: strange.Outcome, folder: str) -> str:
    """What is wrong with what launch.py itself says of a command; empty for nothing."""
    if any("\0" in item or not item.isprintable() for item in command):
        return ""  # no argument of a process
    done = subprocess.run(
        [sys.executable, "launch.py", *command, "stage=plan", f"root={folder}"],
        cwd=strange.ROOT, capture_output=True, text=True, check=False, timeout=300,
        env={**os.environ, "PYTHONPATH": "src"},
    )  # fmt: skip
    if "Traceback" in done.stderr + done.stdout or done.returncode not in (0, 2):
        return f"exit {done.returncode}: {command!r}: {done.stderr[-300:]!r}"
    if done.returncode == 2 and (done.stderr.count("\n") != 1 or found.accepted):
        return f"refused otherwise: {command!r}: {done.stderr[-300:]!r}"
    return "" if not any(Path(folder).iterdir()) else f"left something: {command!r}"


def summary(seen: list[tuple[list[str], strange.Outcome]]) -> dict[str, int | float]:
    """Counts and times of all commands."""
    times = sorted(found.seconds for _, found in seen)
    faults = Counter(found.fault for _, found in seen if found.fault)
    return {
        "commands": len(seen),
        "accepted": sum(found.accepted for _, found in seen),
        "refused": sum(not found.accepted and not found.fault for _, found in seen),
        "faults": sum(faults.values()),
        "median_s": round(times[len(times) // 2], 3),
        "longest_s": round(times[-1], 3),
    }


if __name__ == "__main__":
    sys.exit(main())
