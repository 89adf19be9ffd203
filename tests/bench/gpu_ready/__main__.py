"""What can be known on a CPU of how the platform fares on GPUs, held against bounds.

    python -m tests.bench.gpu_ready [--quick] [--only PART ...]

Each part lies in a module of its own (part.py says how). Figures are bytes, launches, copies and
shares that are counted; none is a time of this machine.
"""

# ruff: noqa: T201 - a bench speaks on the terminal
import argparse
import json
import os
import sys
import time

import torch

from tests.bench.gpu_ready.part import collect_parts


def main() -> int:
    parts = collect_parts()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", nargs="+", choices=parts, default=list(parts))
    arguments = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    torch.set_num_threads(1)
    figures: dict[str, float] = {}
    bounds: dict[str, dict[str, float]] = {"at_most": {}, "at_least": {}}
    met: dict[str, bool | None] = {}
    for name in arguments.only:
        part, began = parts[name], time.perf_counter()
        measured = part.measure(arguments.quick)
        if twice := figures.keys() & measured.keys():
            raise ValueError(f"{name} has figures of another part: {', '.join(sorted(twice))}")
        figures |= measured
        met |= part.judge(measured)
        bounds["at_most"] |= part.at_most
        bounds["at_least"] |= part.at_least
        print(f"# {name}: {time.perf_counter() - began:.1f} s", flush=True)
    ok = all(value is not False for value in met.values())
    report = {"name": "gpu_ready", "figures": figures, "bounds": bounds, "met": met, "ok": ok}
    print(json.dumps(report))
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
