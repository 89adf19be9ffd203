"""Does the platform invent an effect where there is none?

    python launch.py -m arm=aa "seed=range(201,231)" study=aa
    python launch.py -m arm=aa style=spoilt "seed=range(301,313)" study=planted
    python -m tests.bench.calibration runs/aa [--planted runs/planted] [--draws 200] [--seed N]

Reads a study of one recipe under many seeds. Two disjoint triples of seeds are drawn again and
again and judged as two arms: paired by an arbitrary order, as arms of equal seeds are, and
unpaired. Printed: the share whose primary claim (macro average, new seeds and items) is
significant, which should not exceed 5 %, with a 95 % bootstrap interval over seeds; and the noise
floor, the middle 95 % of differences. With a study of the same recipe on labels that are known to
be worse, also the share of triples of one against triples of the other in which that effect is
found, which should exceed 80 %. The last line is one JSON object.
"""

# ruff: noqa: T201 - a bench speaks on the terminal
import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kvdistill.stats.compare import compare_arms
from kvdistill.stats.load import load_study
from kvdistill.stats.settings import Settings
from kvdistill.stats.study import MACRO, Arm, Run, Study

SEEDS = 3
NOMINAL = 0.05
POWER = 0.8
RESAMPLES = 4999


def main() -> int:
    """Measures, prints, and says whether nothing was invented."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", type=Path)
    parser.add_argument("--planted", type=Path)
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    study, runs = read(given.study, 2 * SEEDS)
    rng = np.random.default_rng(given.seed)
    draws = [rng.choice(len(runs), 2 * SEEDS, replace=False) for _ in range(given.draws)]
    scores = [100 * (run.get_score(MACRO, study.tasks) or 0.0) for run in runs]
    figures = {
        "seeds": len(runs),
        "mean": float(np.mean(scores)),
        "sd": float(np.std(scores, ddof=1)),
    }
    ok = True
    for name, shift in (("paired", 0), ("unpaired", SEEDS)):
        comparisons = [compare_triples(runs, draw, shift, study.tasks) for draw in draws]
        significant = np.array([p < NOMINAL for p, _ in comparisons])
        low, high = resample_seeds(draws, significant, len(runs), rng)
        figures |= {
            f"{name}_significant": float(significant.mean()),
            f"{name}_interval": [low, high],
            f"{name}_noise_floor": float(np.quantile([abs(e) for _, e in comparisons], 0.95)),
        }
        ok = ok and low <= NOMINAL
    if given.planted:
        power = measure_power(runs, read(given.planted, SEEDS)[1], study.tasks, given.draws, rng)
        figures |= power
        ok = ok and power["planted_found"] >= POWER
    print(json.dumps({"name": "calibration", "figures": figures, "ok": ok}))
    return 0 if ok else 1


def read(folder: Path, least: int) -> tuple[Study, list[Run]]:
    """The study and its trained runs. Raises SystemExit unless all are one recipe."""
    study = load_study([folder])
    runs = [run for run in study.runs.values() if run.trained and run.done]
    if len({run.recipe for run in runs}) != 1 or len(runs) < least:
        raise SystemExit(f"{folder} must hold one recipe under at least {least} seeds")
    return study, runs


def measure_power(
    runs: Sequence[Run], worse: Sequence[Run], tasks: Sequence[str], draws: int,
    rng: np.random.Generator,
) -> dict[str, float]:  # fmt: skip
    """How often triples of the good recipe are found to be above triples of the worse one."""
    both = [*runs, *worse]
    comparisons = []
    for _ in range(draws):
        good = rng.choice(len(runs), SEEDS, replace=False)
        bad = len(runs) + rng.choice(len(worse), SEEDS, replace=False)
        comparisons.append(compare_triples(both, np.concatenate([good, bad]), 0, tasks))
    return {
        "planted_seeds": len(worse),
        "planted_effect": float(np.mean([effect for _, effect in comparisons])),
        "planted_found": float(np.mean([p < NOMINAL and effect > 0 for p, effect in comparisons])),
    }


def compare_triples(
    runs: Sequence[Run], draw: np.ndarray, shift: int, tasks: Sequence[str]
) -> tuple[float, float]:
    """(p of the primary claim, first triple minus second in points).

    `shift` keeps the second triple unpaired.
    """
    one = Arm(label="a", runs={n: runs[at] for n, at in enumerate(draw[:SEEDS])})
    other = Arm(label="b", runs={n + shift: runs[at] for n, at in enumerate(draw[SEEDS:])})
    comparison = compare_arms(
        one, other, tasks, Settings(), endpoints=[MACRO], resample=False
    ).macro
    assert comparison.estimate is not None, comparison.why
    claim = comparison.recipe  # none, or none with a p: no variance, so nothing is claimed
    p = claim.p if claim is not None and claim.p is not None else 1.0
    return p, 100 * comparison.estimate


def resample_seeds(
    draws: Sequence[np.ndarray], significant: np.ndarray, seeds: int, rng: np.random.Generator
) -> tuple[float, float]:
    """Percentile interval of the share, seeds drawn anew: a pair counts as often as all of its."""
    shares = []
    for _ in range(RESAMPLES):
        count = np.bincount(rng.integers(seeds, size=seeds), minlength=seeds)
        weight = np.array([count[draw].prod() for draw in draws], dtype=float)
        if weight.sum():
            shares.append(float((weight * significant).sum() / weight.sum()))
    low, high = np.quantile(shares, [0.025, 0.975])
    return float(low), float(high)


if __name__ == "__main__":
    sys.exit(main())
