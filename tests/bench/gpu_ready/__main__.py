"""What can be known on a CPU of how the platform fares on GPUs, held against bounds.

    python -m tests.bench.gpu_ready [--quick] [--only PART ...]

Each part lies in a module of its own (part.py says how) and gives the same figures alone as among
others. Figures are bytes, launches, copies and shares that are counted; none is a time of this
machine (`store_feed` waits for a disk that it rations). A line a figure, with its bounds, comes
first, and last one JSON object; a figure that is bounded and was not measured (left out by --quick)
is null there, and judged by nothing.
"""

# ruff: noqa: T201 - a bench speaks on the terminal
import argparse
import json
import os
import sys
import time
import traceback
from collections.abc import Mapping
from typing import Any

import torch

from tests.bench.gpu_ready.part import Part, collect_parts


def main(given: list[str] | None = None, parts: Mapping[str, Part] | None = None) -> int:
    """Measures the parts (None: all that there are), prints, and says whether every bound holds."""
    parts = collect_parts() if parts is None else parts
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", nargs="+", choices=parts, default=list(parts))
    arguments = parser.parse_args(given)
    os.environ["HF_HUB_OFFLINE"] = "1"
    torch.set_num_threads(1)
    chosen = {name: part for name, part in parts.items() if name in arguments.only}
    report = measure_parts(chosen, quick=arguments.quick)
    print(json.dumps(report))
    return 0 if report["ok"] else 1


def measure_parts(parts: Mapping[str, Part], *, quick: bool) -> dict[str, Any]:
    """Figures, bounds, what is met and which parts failed; prints each part as it comes.

    A part that raises is one that failed: the others are measured all the same. Raises ValueError
    where two parts have a figure of one name.
    """
    figures: dict[str, float | None] = {}
    bounds: dict[str, dict[str, float]] = {"at_most": {}, "at_least": {}}
    met: dict[str, bool | None] = {}
    failed: dict[str, str] = {}
    for name, part in parts.items():
        began = time.perf_counter()
        torch.manual_seed(0)  # whatever was drawn before it
        try:
            measured = dict(part.measure(quick))
        except Exception as error:  # noqa: BLE001 - the other parts are worth their figures
            traceback.print_exc()
            measured, failed[name] = {}, f"{type(error).__name__}: {error}".splitlines()[0]
        judged = part.judge(measured)
        owned = measured.keys() | judged.keys()
        if twice := figures.keys() & owned:
            raise ValueError(f"{name} has figures of another part: {', '.join(sorted(twice))}")
        figures |= dict.fromkeys(judged) | measured
        met |= judged
        bounds["at_most"] |= part.at_most
        bounds["at_least"] |= part.at_least
        print(f"# {name}: {failed.get(name, f'{time.perf_counter() - began:.1f} s')}")
        for figure in sorted(owned):
            print(describe_figure(figure, part, measured.get(figure), judged.get(figure)))
        sys.stdout.flush()
    ok = not failed and all(value is not False for value in met.values())
    return {
        "name": "gpu_ready", "figures": figures, "bounds": bounds, "met": met, "failed": failed,
        "ok": ok,
    }  # fmt: skip


def describe_figure(name: str, part: Part, value: float | None, met: bool | None) -> str:
    """One line: whether it is met, its value, its bounds."""
    verdict = {True: "pass", False: "FALLS SHORT", None: ""}[met]
    if value is None:
        verdict = "not measured"
    bounds = [f"at least {part.at_least[name]:g}"] if name in part.at_least else []
    bounds += [f"at most {part.at_most[name]:g}"] if name in part.at_most else []
    number = "" if value is None else f"{value:.4g}"
    return f"  {verdict:12} {number:>10}  {name}{': ' if bounds else ''}{', '.join(bounds)}"


if __name__ == "__main__":
    sys.exit(main())
