"""Do the claims keep their word, and is the report fast enough?

    python -m tests.bench.claims [--quick]

1. For 3 seeds x the seven real benchmark sizes and seed SDs of 0, 0.6 and 1.5 points: coverage and
   type-I error of every interval against what it promises (4,000 repetitions; 150 with --quick).
2. A study of 1,000 runs x 7 tasks x 1,000 items: time and peak memory of the report (120 runs with
   --quick).

The last line is one JSON object.
"""

# ruff: noqa: T201 - a bench speaks on the terminal
import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

import kvdistill
from kvdistill.stats.selftest import (
    PROMISES,
    SEED_SDS,
    Simulation,
    judge_coverage,
    measure_coverage,
)
from tests.stats import fake

SIZES = (1319, 500, 6511, 448, 817, 11582, 1346)
"""GSM8K, MATH500, BBH, GPQA, TruthfulQA, CMMLU, C-Eval."""
EFFECTS = (0.0, 2.0)
REPORT = """
import sys, json, time, resource
from pathlib import Path
from kvdistill.report.build import build_report
start, used = time.perf_counter(), time.process_time()
page = build_report([Path(sys.argv[1])], Path(sys.argv[1]) / "report")
print(json.dumps({
    "report_s": time.perf_counter() - start,
    "report_cpu_s": time.process_time() - used,
    "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    "page_bytes": page.stat().st_size,
    "torch": "torch" in sys.modules,
}))
"""


def main() -> int:
    """Measures, prints, and says whether every bound holds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    repetitions = 150 if quick else 4000
    start = time.perf_counter()
    rates = simulate(repetitions)
    simulated = time.perf_counter() - start
    speed = report(120 if quick else 1000)
    slack = 2 * float(np.sqrt(0.93 * 0.07 / repetitions))
    coverage = min(row["coverage"] for row in rates)
    type_1 = max(row["type_1"] for row in rates if row["type_1"] is not None)
    figures = {
        "repetitions": repetitions,
        "simulation_s": round(simulated, 1),
        "least_coverage": coverage,
        "largest_type_1": type_1,
        "rates": rates,
        **speed,
    }
    bounds = {
        "least_coverage": 0.93 - slack,
        "largest_type_1": 0.07 + slack,
        "report_s": 30.0,
        "peak_bytes": 1_000_000_000,
        "page_bytes": 3_000_000,
        "torch": False,
    }
    ok = (
        coverage >= bounds["least_coverage"]
        and type_1 <= bounds["largest_type_1"]
        and all(figures[k] <= bounds[k] for k in ("report_s", "peak_bytes", "page_bytes", "torch"))
    )
    print(json.dumps({"name": "claims", "figures": figures, "bounds": bounds, "ok": bool(ok)}))
    return 0 if ok else 1


def simulate(repetitions: int) -> list[dict]:
    """A row a method, seed SD and effect; its type-I error is its miss rate at no effect."""
    worlds = [
        Simulation(sizes=SIZES, seeds=3, seed_sd=sd, effect=effect)
        for sd in SEED_SDS
        for effect in EFFECTS
    ]
    with ProcessPoolExecutor(max_workers=len(os.sched_getaffinity(0))) as pool:
        rates_by_world = list(pool.map(measure_coverage, worlds, [repetitions] * len(worlds)))
    rows = []
    for world, methods in zip(worlds, rates_by_world, strict=True):
        for name, rate in methods.items():
            rows.append(
                {
                    "method": name,
                    "promise": PROMISES[name],
                    "seed_sd_points": world.seed_sd,
                    "effect_points": world.effect,
                    "coverage": round(rate["coverage"], 4),
                    "type_1": None if world.effect else round(1 - rate["coverage"], 4),
                    "excludes_zero": round(rate["excludes_zero"], 4),
                    "verdict": judge_coverage(rate["coverage"], int(rate["repetitions"])),
                }
            )
            print(
                f"{name:24} seed SD {world.seed_sd:.1f} effect {world.effect:.0f}: "
                f"covers {100 * rate['coverage']:.1f} %, excludes 0 in "
                f"{100 * rate['excludes_zero']:.1f} %: {rows[-1]['verdict']}",
                flush=True,
            )
    return rows


def report(runs: int) -> dict:
    """Time and memory of the report of a generated study, in a process of its own."""
    arms = -(-runs // 3)
    per_question = 56
    labels = [f"lr={i} layers={i % 7}" for i in range(arms)]
    levels = dict(zip(labels, np.linspace(-0.5, 0.5, arms).tolist(), strict=True))
    questions = {
        f"sweep_{k}": {label: levels[label] for label in labels[k * per_question :][:per_question]}
        for k in range(-(-arms // per_question))
    }
    tasks = {f"task_{i}": 1000 for i in range(7)}
    with tempfile.TemporaryDirectory() as room:
        start = time.perf_counter()
        study = fake.write_study(Path(room), questions, name="big", tasks=tasks)
        print(f"{arms * 3} runs written in {time.perf_counter() - start:.0f} s", flush=True)
        path = str(Path(kvdistill.__file__).parents[1])
        done = subprocess.run(
            [sys.executable, "-c", REPORT, str(study)],
            env=os.environ | {"PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=True,
        )
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    figures = json.loads(done.stdout.splitlines()[-1])
    return {"runs": arms * 3, **figures, "children_cpu_s": round(used.ru_utime + used.ru_stime, 1)}


if __name__ == "__main__":
    sys.exit(main())
