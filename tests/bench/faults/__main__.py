"""Does a study that is disturbed end as if nothing had happened, or stop with one clear line?

    python -m tests.bench.faults [--quick] [--seed N] [--only KIND ...]

kills: one nano run, killed twenty times at instants of its own time.
signals: a small sweep, SIGKILL and SIGTERM at any instant of any stage, to all or one process.
spoilt: every kind of file of a finished study cut, flipped, emptied or removed.
machine: disk full, folder read-only, clock jumping.
crowd: two and eight commands at once; the holder of a lease killed while another waits.

A node that dies is `python -m tests.bench.cluster --only disturbed`. Every fault ends in one of
same (the same bits after repeating the command), refused (one line that names the file, and the
same bits after doing what it says) or wrong; wrong must be 0. The last line is one JSON object.
"""

# ruff: noqa: T201 - a bench speaks on the terminal
import argparse
import json
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.bench.faults import crowd, kills, machine, signals, spoilt
from tests.bench.faults.study import Calm
from tests.launch_server import start_shared_server

Kind = Callable[[Calm, Path, random.Random, bool], Iterator[tuple[str, str]]]
"""Yields (what was done, how it ended) a fault."""
KINDS: dict[str, Kind] = {
    "signals": signals.faults,
    "crowd": crowd.faults,
    "machine": machine.faults,
    "spoilt": spoilt.faults,
}


def main() -> int:
    """Disturbs, prints, and says whether every bound holds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one of each")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=["kills", *KINDS])
    given = parser.parse_args()
    chosen = given.only or ["kills", *KINDS]
    figures: dict[str, Any] = {"quick": given.quick, "seed": given.seed}
    with tempfile.TemporaryDirectory() as room:
        measured, bounds = measure(given, chosen, Path(room))
    figures |= measured
    ok = all(figures[name] == bound for name, bound in bounds.items())
    print(json.dumps({"name": "faults", "figures": figures, "bounds": bounds, "ok": ok}))
    return 0 if ok else 1


def measure(
    given: argparse.Namespace, chosen: Sequence[str], room: Path
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The chosen kinds one after the other, in a hurry side by side; (figures, bounds)."""
    figures: dict[str, Any] = {}
    bounds: dict[str, Any] = {}
    if "kills" in chosen and not given.quick:
        figures, bounds = kills.measure(room, random.Random(given.seed))
    kinds = [kind for kind in chosen if kind in KINDS]
    if not kinds and not given.quick:
        return figures, bounds
    calm = Calm(room / "calm", given.quick)
    if given.quick:
        start_shared_server()
    else:
        calm.wait()
    # Each is in a root of its own. Threads do: what they wait for are other processes, and in a
    # hurry first of all the study that nobody disturbs, beside which only the crowd is at work.
    with ThreadPoolExecutor(1 + len(KINDS) if given.quick else 1) as pool:
        once = None
        if "kills" in chosen and given.quick:
            once = pool.submit(kills.measure_once, calm, room, random.Random(given.seed))
        tallies = {kind: pool.submit(tally, kind, calm, room, given) for kind in kinds}
        figures |= {kind: future.result() for kind, future in tallies.items()}
    if once is not None:
        killed, bounds = once.result()
        figures |= killed
    if kinds:
        figures["wrong"] = sum(figures[kind].get("wrong", 0) for kind in kinds)
        bounds["wrong"] = 0
    return figures, bounds


def tally(kind: str, calm: Calm, room: Path, given: argparse.Namespace) -> dict[str, int]:
    """How the faults of one kind ended, each told as it comes."""
    counts: Counter[str] = Counter()
    place = room / kind
    place.mkdir()
    for what, how in KINDS[kind](calm, place, random.Random(given.seed), given.quick):
        outcome = how.partition(":")[0]
        counts[outcome] += 1
        print(f"{kind} {counts.total()}: {what}: {how}", flush=True)
    return {"faults": counts.total()} | dict(counts)


if __name__ == "__main__":
    sys.exit(main())
