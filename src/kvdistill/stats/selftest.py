"""How often our own intervals are wrong: A/A and known-effect simulation with the user's sizes.

A right answer is latent normal: task level + item difficulty + how the arm takes to the item +
the seed's shift of the whole checkpoint + noise. Every interval is held against the quantity it
promises: these checkpoints on new items, new seeds on these items, or new seeds and new items.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special, stats

from kvdistill.stats import bootstrap
from kvdistill.stats.combined_interval import (
    combine_variances,
    estimate_run_noise,
    separate_item_variance,
)
from kvdistill.stats.seed_tests import paired_t_test, welch_t_test
from kvdistill.stats.settings import Settings
from kvdistill.stats.study import Study

SEED_SDS = (0.0, 0.6, 1.5)
"""Points: SD over seeds of the difference in macro average, beyond item noise."""
DIFFICULTY_SD = 1.0
PREFERENCE_SD = 0.4
"""SD of the item's own preference for an arm."""
DRAWS = 999

PROMISES = {
    "recipe": "new seeds and new items (variance over seeds and of items, Satterthwaite)",
    "item_bootstrap": "these checkpoints on new items (stratified bootstrap)",
    "item_bootstrap_one_task": "these checkpoints on new items of the smallest task",
    "paired_t": "new seeds on these items (paired t)",
    "unpaired_t": "new seeds on these items (Welch t)",
    "wilson": "one checkpoint's score on new items of the smallest task",
}


@dataclass(frozen=True, kw_only=True)
class Simulation:
    """What is simulated."""

    sizes: Sequence[int]
    """Items a task."""
    seeds: int
    seed_sd: float
    """Points."""
    effect: float
    """Points of macro average, about; the exact truth is computed."""

    @property
    def levels(self) -> np.ndarray:
        """Probit of each task's score: from easy to hard."""
        scale = np.sqrt(1 + DIFFICULTY_SD**2 + PREFERENCE_SD**2)
        return special.ndtri(np.linspace(0.65, 0.3, len(self.sizes))) * scale

    @property
    def score_slope(self) -> float:
        """Score per unit of latent level, on average over tasks."""
        scale = np.sqrt(1 + DIFFICULTY_SD**2 + PREFERENCE_SD**2)
        return float(stats.norm.pdf(self.levels / scale).mean() / scale)


def simulate_once(simulation: Simulation, rng: np.random.Generator) -> dict[str, tuple[bool, bool]]:
    """One repetition: method -> (its interval holds its truth, it excludes 0)."""
    tasks = np.repeat(np.arange(len(simulation.sizes)), simulation.sizes)
    starts = np.concatenate([[0], np.cumsum(simulation.sizes)[:-1]])
    sizes = np.asarray(simulation.sizes)
    shift_sd = simulation.seed_sd / 100 / simulation.score_slope / np.sqrt(2)
    gain = np.array([simulation.effect / 100 / simulation.score_slope, 0.0])
    hard = simulation.levels[tasks] + DIFFICULTY_SD * rng.standard_normal(len(tasks))
    latent = [hard + g + PREFERENCE_SD * rng.standard_normal(len(tasks)) for g in gain]
    shifts = shift_sd * rng.standard_normal((2, simulation.seeds))
    correct = np.array(
        [
            [
                latent[a] + shifts[a, s] + rng.standard_normal(len(tasks)) > 0
                for s in range(simulation.seeds)
            ]
            for a in range(2)
        ],
        dtype=np.int8,
    )
    means = np.add.reduceat(correct, starts, axis=2, dtype=np.int64) / sizes
    latent_sd = np.sqrt(1 + DIFFICULTY_SD**2 + PREFERENCE_SD**2)
    per_task = special.ndtr((simulation.levels[:, None, None] + gain[:, None] + shifts) / latent_sd)
    total_sd = np.sqrt(latent_sd**2 + shift_sd**2)
    recipe_truth = np.diff(
        special.ndtr((simulation.levels[:, None] + gain[::-1]) / total_sd).mean(0)
    )[0]
    expected_scores = [
        np.add.reduceat(special.ndtr(one / np.sqrt(1 + shift_sd**2)), starts) / sizes
        for one in latent
    ]
    truths = {
        "recipe": recipe_truth,
        "item_bootstrap": (per_task[:, 0] - per_task[:, 1]).mean(),
        "seeds": (expected_scores[0] - expected_scores[1]).mean(),
    }
    return check_intervals(simulation, correct, means, starts, truths, per_task, rng)


def check_intervals(
    simulation: Simulation,
    correct: np.ndarray,
    means: np.ndarray,
    starts: np.ndarray,
    truths: Mapping[str, float],
    per_task: np.ndarray,
    rng: np.random.Generator,
) -> dict[str, tuple[bool, bool]]:
    """Each of the project's intervals on one simulated study, against its own truth."""
    averaged = correct[0].mean(0, dtype=float) - correct[1].mean(0, dtype=float)
    parts = np.split(averaged, starts[1:])
    strata = [bootstrap.make_stratum(str(t), part) for t, part in enumerate(parts)]
    draw = int(rng.integers(2**31))
    macro = means.mean(2)
    pairs = macro[0] - macro[1]
    item = bootstrap.bootstrap_interval(strata, draws=DRAWS, seed=draw)
    parts_seed = [(float(pairs.var(ddof=1)) / len(pairs), len(pairs) - 1)]
    by_run = np.split(correct[0].astype(float) - correct[1], starts[1:], axis=1)
    run_noise = [estimate_run_noise(list(task), None) / len(pairs) for task in by_run]
    item_se = separate_item_variance(strata, run_noise)
    claim = combine_variances(float(pairs.mean()), parts_seed, item_se, item.df)
    small = int(np.argmin(simulation.sizes))
    one_task = bootstrap.bootstrap_interval([strata[small]], draws=DRAWS, seed=draw + 1)
    t, welch = paired_t_test(pairs), welch_t_test(macro[0], macro[1])
    n = simulation.sizes[small]
    low, high = bootstrap.wilson_interval(float(means[1, 0, small] * n), n)
    ends: dict[str, tuple[float | None, float | None, float]] = {
        "item_bootstrap": (item.low, item.high, truths["item_bootstrap"]),
        "item_bootstrap_one_task": (
            one_task.low, one_task.high, float((per_task[small, 0] - per_task[small, 1]).mean()),
        ),
        "paired_t": (t.low, t.high, truths["seeds"]),
        "unpaired_t": (welch.low, welch.high, truths["seeds"]),
        "wilson": (low, high, float(per_task[small, 1, 0])),
    }  # fmt: skip
    if claim is not None:
        ends["recipe"] = (claim.low, claim.high, truths["recipe"])
    return {
        name: (bool(a <= truth <= b), bool(a > 0 or b < 0))
        for name, (a, b, truth) in ends.items()
        if a is not None and b is not None
    }


def measure_coverage(
    simulation: Simulation, repetitions: int, seed: int = 0
) -> dict[str, dict[str, float]]:
    """Method -> coverage, power (share excluding 0) and how many repetitions gave an interval."""
    rng = np.random.default_rng(
        [seed, round(1000 * simulation.seed_sd), round(1000 * simulation.effect)]
    )
    counts: dict[str, list[int]] = {}
    for _ in range(repetitions):
        for name, (covers, excludes) in simulate_once(simulation, rng).items():
            tally = counts.setdefault(name, [0, 0, 0])
            tally[0] += covers
            tally[1] += excludes
            tally[2] += 1
    return {
        name: {"coverage": covers / n, "excludes_zero": excludes / n, "repetitions": n}
        for name, (covers, excludes, n) in sorted(counts.items())
    }


def run_selftest(
    sizes: Sequence[int], seeds: int, repetitions: int, effect: float = 2.0, seed: int = 0
) -> dict[str, Any]:
    """Coverage and type-I error of every interval, over the three seed SDs, null and effect.

    A method's type-I error is its miss rate at no effect, against its own truth.
    """
    rows = []
    for seed_sd in SEED_SDS:
        for gain in (0.0, effect):
            simulation = Simulation(sizes=sizes, seeds=seeds, seed_sd=seed_sd, effect=gain)
            for name, rates in measure_coverage(simulation, repetitions, seed).items():
                rows.append(
                    {
                        "method": name,
                        "promise": PROMISES[name],
                        "seed_sd_points": seed_sd,
                        "effect_points": gain,
                        "coverage": rates["coverage"],
                        "type_1": 1 - rates["coverage"] if gain == 0 else None,
                        "excludes_zero": rates["excludes_zero"] if name != "wilson" else None,
                        "repetitions": rates["repetitions"],
                        "verdict": judge_coverage(rates["coverage"], int(rates["repetitions"])),
                    }
                )
    return {"sizes": list(sizes), "seeds": seeds, "nominal": 0.95, "rows": rows}


def judge_coverage(coverage: float, repetitions: int) -> str:
    """sound, conservative (covers more than 97 %), or misses (under 93 %), two MC errors given."""
    error = 2 * float(np.sqrt(0.93 * 0.07 / repetitions))
    if coverage < 0.93 - error:
        return "misses"
    return "conservative" if coverage - error > 0.97 else "sound"


def run_selftest_for_study(study: Study, settings: Settings) -> dict[str, Any]:
    """The self-test with the study's own items and number of seeds."""
    done = [run for run in study.runs.values() if run.done]
    sizes = [
        max((run.scores[task].n for run in done if task in run.scores), default=0)
        for task in study.tasks
    ]
    seeds = max(
        (len(arm.distinct_runs()) for arm in study.distinct_arms().values() if arm.trained),
        default=3,
    )
    if not sizes or min(sizes) < 2:
        return {"sizes": sizes, "seeds": seeds, "nominal": 0.95, "rows": []}
    return run_selftest(sizes, max(seeds, 2), settings.selftest_repetitions, seed=settings.seed)
