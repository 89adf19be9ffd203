"""How often each interval, test and verdict errs, and how often it finds, where the truth is known.

Every way to a claim is asked as a report asks it (its own functions, in memory). An error is
"different" said of arms that are not, or an interval that misses what it promises to hold.
"""

# ruff: noqa: T201 - a bench speaks on the terminal
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from typing import Any

import numpy as np
from rich.table import Table
from rich.text import Text

from kvdistill.stats.selftest import PROMISES, Simulation, measure_coverage
from tests.bench.ways_to_claim import (
    LEVEL,
    NOMINAL,
    NOT_OFFERED,
    SEEDS,
    SPREAD,
    Decide,
    decide_family,
    decide_looks,
    decide_pair,
    skip_what_is_shown,
)
from tests.bench.worlds import WORLDS, World
from tests.stats.fake import TASKS

REPETITIONS, QUICK = 4000, 80
EFFECT_SHARE = 10
"""A power needs fewer repetitions than an error: that part of them."""
SEED_SDS = (0.0, 2.0)
"""Points: of the difference in macro average, beyond item noise."""
EFFECT = 3.0
"""Points."""
MOST = 0.07
"""Errors that are borne where NOMINAL is promised."""


@dataclass(frozen=True, kw_only=True)
class Rate:
    """How one way to a claim does in one world with one number of seeds."""

    way: str
    world: str
    seeds: int
    error: float | None = None
    """Share of repetitions without a difference that say one, or of intervals that miss."""
    power: float | None = None
    """Share of repetitions with a difference of EFFECT points that say so."""
    repetitions: int
    claimed: bool = True
    """Whether a claim may rest on it; else it is shown for what it is."""


def measure_rates(quick: bool) -> list[Rate]:
    """Every way in every world, as many at once as there are cores."""
    repetitions = QUICK if quick else REPETITIONS
    # Not forked: the libraries may have threads.
    pool = ProcessPoolExecutor(len(os.sched_getaffinity(0)), mp_context=get_context("forkserver"))
    with pool:
        results = [pool.submit(job, repetitions) for job in list_jobs(quick)]
        rates = []
        for result in results:
            rates += result.result()
            print(f"{len(rates)} rates: {rates[-1]}", flush=True)
    return rates


def list_jobs(quick: bool) -> Iterator[Callable[[int], list[Rate]]]:
    """What measures some rates each, by the repetitions; in a hurry in fewer worlds."""
    for seeds in SEEDS:
        yield partial(measure_world, decide_family, WORLDS[2], seeds)
    for world in WORLDS[1:3]:
        yield partial(measure_world, decide_looks, world, SEEDS[-1])
    for world in WORLDS[2:4] if quick else WORLDS:
        for seeds in SEEDS:
            yield partial(measure_world, decide_pair, world, seeds)
    for seed_sd in SEED_SDS[quick:]:
        for seeds in SEEDS:
            yield partial(measure_intervals, seeds, seed_sd)


def measure_world(decide: Decide, world: World, seeds: int, repetitions: int) -> list[Rate]:
    """How often a way says "different" without and with an effect."""
    counts = []
    numbers = repetitions, max(1, repetitions // EFFECT_SHARE)
    for effect, number in zip((0.0, EFFECT), numbers, strict=True):
        rng = np.random.default_rng([WORLDS.index(world), seeds, int(effect)])
        tally: Counter[str] = Counter()
        with skip_what_is_shown():
            for _ in range(number):
                tally.update(decide(world, rng, seeds, effect))
        counts.append({way: count / number for way, count in tally.items()})
    return [
        Rate(
            way=way,
            world=world.name,
            seeds=seeds,
            error=None if way == SPREAD and world.ratio != 1 else error,
            power=error if way == SPREAD and world.ratio != 1 else find_power(way, counts[1]),
            repetitions=repetitions,
            claimed=not way.startswith(NOT_OFFERED),
        )
        for way, error in counts[0].items()
    ]


def find_power(way: str, shares: dict[str, float]) -> float | None:
    """The share that found the effect, of a way that is about it."""
    return None if way in (SPREAD, LEVEL) else shares[way]


def measure_intervals(seeds: int, seed_sd: float, repetitions: int) -> list[Rate]:
    """The self-test's intervals, each against what it promises."""
    by_effect = {}
    for effect, number in ((0.0, repetitions), (EFFECT, max(1, repetitions // EFFECT_SHARE))):
        simulation = Simulation(
            sizes=tuple(TASKS.values()), seeds=seeds, seed_sd=seed_sd, effect=effect
        )
        by_effect[effect] = measure_coverage(simulation, number)
    return [
        Rate(
            way=f"interval: {name.replace('_', ' ')}",
            world=f"difference's SD {seed_sd:g}",
            seeds=seeds,
            error=1 - one["coverage"],
            power=by_effect[EFFECT][name]["excludes_zero"] if name != "wilson" else None,
            repetitions=int(one["repetitions"]),
        )
        for name, one in by_effect[0.0].items()
        if name in PROMISES
    ]


def tabulate_rates(rates: Sequence[Rate]) -> Table:
    """A line a way and world: errors and power by number of seeds, in percent."""
    table = Table(title=f"Errors at nominal {NOMINAL:.0%}, and power at {EFFECT:g} points, in %")
    for title in ("way to a claim", "world"):
        table.add_column(title)
    for title in ("errs", "finds"):
        for seeds in SEEDS:
            table.add_column(f"{title}, {seeds} seeds", justify="right")
    cells = {(rate.way, rate.world, rate.seeds): rate for rate in rates}
    for way, world in dict.fromkeys((rate.way, rate.world) for rate in rates):
        here = [cells.get((way, world, seeds)) for seeds in SEEDS]
        errors = [format_error(rate) for rate in here]
        powers = [
            Text(f"{100 * rate.power:.0f}" if rate and rate.power is not None else "")
            for rate in here
        ]
        table.add_row(Text(way), Text(world), *errors, *powers)
    return table


def format_error(rate: Rate | None) -> Text:
    """In percent, red beyond what is borne."""
    if rate is None or rate.error is None:
        return Text("")
    style = "bold red" if rate.claimed and rate.error > compute_bound(rate.repetitions) else ""
    return Text(f"{100 * rate.error:.1f}", "" if rate.claimed and not style else style or "dim")


def compute_bound(repetitions: int) -> float:
    """The most that may be counted: MOST and two standard errors of so many repetitions."""
    return MOST + 2 * float(np.sqrt(MOST * (1 - MOST) / repetitions))


def summarize_rates(rates: Sequence[Rate]) -> dict[str, Any]:
    """The figures of the bench's JSON; how far the worst claim is beyond its bound."""
    excess, worst = max(
        ((rate.error - compute_bound(rate.repetitions), rate)
         for rate in rates if rate.claimed and rate.error is not None),
        key=lambda pair: pair[0],
    )  # fmt: skip
    return {
        "repetitions": max(rate.repetitions for rate in rates),
        "largest_error": worst.error,
        "largest_error_of": f"{worst.way}, {worst.world}, {worst.seeds} seeds",
        "largest_excess": excess,
        "rates": [asdict(rate) for rate in rates],
    }


def make_bounds() -> dict[str, float]:
    """No claim errs beyond MOST, given how often it was tried."""
    return {"largest_excess": 0.0}
