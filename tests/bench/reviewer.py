"""Does a hostile reviewer get a wrong number through, and do the intervals keep their word?

    python -m tests.bench.reviewer [--quick] [--only attacks|rates] [--number N ...]

attacks: every attack of tests/bench/attacks is tried again, each in an empty folder. None may pass,
    and none of the numbers 1 to 27 may lack one. In a hurry one of each number is tried, and those
    that run benches are left to `pytest -m bench`.
rates: how often each interval, test and verdict errs and finds, in worlds where the truth is known
    (tests/bench/error_rates.py): 4,000 repetitions, in a hurry 80.

The last line is one JSON object.
"""

# ruff: noqa: T201 - a bench speaks on the terminal
import argparse
import json
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tests.bench import error_rates
from tests.bench.attacks.outcome import SLOW_NUMBERS, Attack, Outcome, collect_attacks

NUMBERS = range(1, 28)
STYLES = {"refused": "green", "shown": "cyan", "passed": "bold red", "left out": "dim"}
PARTS = ("attacks", "rates")
EVIDENCE = 400
"""Characters of it that the JSON keeps."""


@dataclass(frozen=True)
class Tried:
    """An attack with what became of it."""

    number: int
    name: str
    verdict: str
    """Of the outcome, or `left out`."""
    evidence: str
    seconds: float


def main() -> int:
    """Tries, measures, prints, and says whether every bound holds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", choices=PARTS)
    parser.add_argument("--number", type=int, nargs="+", help="of the attacks to try")
    given = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 160)
    figures: dict[str, Any] = {"quick": given.quick}
    bounds: dict[str, Any] = {}
    if given.only != "rates":
        figures |= judge_attacks(
            try_attacks(given.number, given.quick), console, given.number is not None
        )
        bounds |= {"passed": 0, "without_attack": 0 if given.number is None else None}
    if given.only != "attacks" and given.number is None:
        rows = error_rates.measure_rates(given.quick)
        console.print(error_rates.tabulate_rates(rows))
        figures |= error_rates.summarize_rates(rows)
        bounds |= error_rates.make_bounds()
    ok = all(figures[name] <= bound for name, bound in bounds.items() if bound is not None)
    print(json.dumps({"name": "reviewer", "figures": figures, "bounds": bounds, "ok": ok}))
    return 0 if ok else 1


def try_attacks(numbers: Sequence[int] | None, quick: bool) -> list[Tried]:
    """Every attack, or those of some numbers: as many at once as there are cores, benches alone."""
    attacks = [one for one in collect_attacks() if numbers is None or one.number in numbers]
    slow = [one for one in attacks if one.number in SLOW_NUMBERS]
    fast = [one for one in attacks if one not in slow]
    chosen = list({one.number: one for one in fast}.values()) if quick and not numbers else fast
    tried = []
    # Not forked: Hydra's state and patches are a process's own, and torch may have threads.
    pool = ProcessPoolExecutor(len(os.sched_getaffinity(0)), mp_context=get_context("forkserver"))
    with pool:
        for one in pool.map(try_attack, chosen):
            tried.append(one)
            print(f"{one.number} {one.name}: {one.verdict}, {one.seconds:.1f} s", flush=True)
    tried += [] if quick else map(try_attack, slow)
    tried += [
        Tried(one.number, one.name, "left out", "tried without --quick", 0.0)
        for one in [*fast, *slow]
        if one not in chosen and (quick or one not in slow)
    ]
    return sorted(tried, key=lambda one: (one.number, one.name))


def try_attack(attack: Attack) -> Tried:
    """One attack, in a folder of its own. One that breaks has shown nothing, so it passed."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        try:
            outcome = attack.attempt(Path(folder))
        except Exception as error:  # noqa: BLE001 - the others are tried all the same
            place = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{Path(place.filename).name}:{place.lineno}"
            outcome = Outcome("passed", f"broke: {type(error).__name__} at {where}: {error}")
    evidence = " ".join(outcome.evidence.split())
    seconds = time.monotonic() - began
    return Tried(attack.number, attack.name, outcome.verdict, evidence, seconds)


def judge_attacks(tried: Sequence[Tried], console: Console, partly: bool) -> dict[str, Any]:
    """Prints the table; counts by verdict, and each attack's evidence.

    `partly`: some numbers alone were asked for, so that others lack nothing.
    """
    table = Table(title="What a hostile reviewer tried", show_lines=False)
    for title in ("", "attack", "verdict", "evidence", "s"):
        table.add_column(title, overflow="fold")
    for one in tried:
        table.add_row(
            str(one.number), Text(one.name), Text(one.verdict, STYLES[one.verdict]),
            Text(one.evidence[:EVIDENCE]), f"{one.seconds:.1f}",
        )  # fmt: skip
    console.print(table)
    without = sorted(set(NUMBERS) - {one.number for one in tried})
    if without and not partly:
        console.print(f"no attack has the numbers {', '.join(map(str, without))}", style="bold red")
    counts = {word.replace(" ", "_"): 0 for word in STYLES}
    for one in tried:
        counts[one.verdict.replace(" ", "_")] += 1
    return {
        "attacks": len(tried),
        **counts,
        "without_attack": len(without),
        "slowest_s": round(max((one.seconds for one in tried), default=0.0), 1),
        "outcomes": [
            {
                "number": one.number,
                "name": one.name,
                "verdict": one.verdict,
                "evidence": one.evidence[:EVIDENCE],
            }
            for one in tried
        ],
    }


if __name__ == "__main__":
    sys.exit(main())
