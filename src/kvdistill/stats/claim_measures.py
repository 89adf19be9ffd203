"""What a claim is about, measured: an estimate and its interval in the measure's own unit."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from kvdistill.stats import equal_budget
from kvdistill.stats.bootstrap import Stratum, standard_error, stratum, wilson
from kvdistill.stats.combined_interval import combine
from kvdistill.stats.compare import UNEQUAL, compare, mean_answers
from kvdistill.stats.curves import by_teacher, last, routing, specialises
from kvdistill.stats.hypotheses import Claim
from kvdistill.stats.seed_tests import paired_t
from kvdistill.stats.settings import Settings
from kvdistill.stats.study import MACRO, Arm, Study

CURVES = ("kv", "k", "v", "ce", "loss")
MEASURES = ("tasks_improved", "std", *CURVES)
EFFICIENCY = "efficiency."


@dataclass(frozen=True, kw_only=True)
class Measured:
    """An estimate and its interval in the measure's own unit; None where it is not known."""

    unit: str
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    why: str = ""


def measure(
    study: Study, asked: Claim, arm: Arm, baseline: Arm | None, settings: Settings
) -> Measured:
    """The claim's measure on its arms."""
    name = asked.measure
    if name == "routing":
        return routed(arm, settings)
    if name == MACRO or name in study.tasks:
        if baseline is None:
            return level(study, arm, name, settings)
        return points(study, arm, baseline, name, settings)
    if name not in MEASURES and not name.startswith(EFFICIENCY):
        return Measured(unit="", why=f"no task or measure called {name} in this study")
    if baseline is None:
        return Measured(unit="", why=f"measure {name} needs a baseline")
    if why := equal_budget.refused(arm, baseline):
        return Measured(unit="", why=f"{UNEQUAL}: {why}")
    if name == "tasks_improved":
        return improved(study, arm, baseline, settings)
    if name == "std":
        return spread(study, arm, baseline, settings)
    if name in CURVES:
        return ratio(arm, baseline, lambda run: last(run, name), settings, name)
    key = name.removeprefix(EFFICIENCY)
    return ratio(arm, baseline, lambda run: run.efficiency.get(key), settings, name)


def points(study: Study, arm: Arm, baseline: Arm, endpoint: str, settings: Settings) -> Measured:
    """A difference of scores, in points."""
    one = compare(arm, baseline, study.tasks, settings, endpoints=[endpoint])
    found = one.differences[endpoint]
    if found.estimate is None:
        return Measured(unit="points", why=f"{found.status}: {found.why}")
    interval = found.recipe
    untrained = not arm.trained and not baseline.trained
    if interval is None and untrained:
        interval = found.item
    if interval is None:
        return Measured(unit="points", estimate=100 * found.estimate, why=found.status)
    return Measured(
        unit="points",
        estimate=100 * found.estimate,
        low=100 * interval.low,
        high=100 * interval.high,
        why="over items: neither arm is trained" if untrained else "over seeds and items",
    )


def level(study: Study, arm: Arm, endpoint: str, settings: Settings) -> Measured:
    """An arm's own score, in points."""
    if gaps := arm.gaps(endpoint, study.tasks):
        return Measured(unit="points", why=f"missing: {arm.label}: {'; '.join(gaps)}")
    runs = arm.unique()
    values = np.array([run.value(endpoint, study.tasks) for run in runs], dtype=float)
    tasks = study.tasks if endpoint == MACRO else [endpoint]
    estimate = 100 * float(values.mean())
    if any(run.scores[task].correct is None for run in runs for task in tasks):
        return Measured(unit="points", estimate=estimate, why="no items on disk")
    strata = []
    for task in tasks:
        items = runs[0].scores[task].items
        if any(run.scores[task].items is not items for run in runs):
            return Measured(unit="points", estimate=estimate, why=f"{task}: other items by seed")
        strata.append(stratum(task, mean_answers(task, runs), items.subjects if items else None))
    se, df = standard_error(strata)
    parts = [(float(values.var(ddof=1)) / len(values), len(values) - 1)] if arm.trained else []
    if not parts:
        if se == 0:
            return certain(estimate, strata, settings)
        half = float(stats.t.ppf((1 + settings.confidence) / 2, df)) * se
        return within(estimate, values.mean() - half, values.mean() + half)
    if len(values) < 2:
        return Measured(unit="points", estimate=estimate, why="one seed")
    found = combine(float(values.mean()), parts, se, min(df, 1e9), settings.confidence)
    if found is None:
        return Measured(unit="points", estimate=estimate, why="no variance, or under three seeds")
    return within(estimate, found.low, found.high)


def within(estimate: float, low: float, high: float) -> Measured:
    """A score's interval, cut where there are no scores."""
    ends = 100 * max(0.0, float(low)), 100 * min(1.0, float(high))
    return Measured(unit="points", estimate=estimate, low=ends[0], high=ends[1])


def certain(estimate: float, strata: Sequence[Stratum], settings: Settings) -> Measured:
    """All items right, or all wrong: Wilson's interval keeps its width; an average has none."""
    if len(strata) > 1:
        return Measured(unit="points", estimate=estimate, why="no variance over items")
    n = int(strata[0].sizes.sum())
    return within(estimate, *wilson(round(n * estimate / 100), n, settings.confidence))


def improved(study: Study, arm: Arm, baseline: Arm, settings: Settings) -> Measured:
    """Tasks with a gain: by estimate, surely (interval above 0), possibly (not below)."""
    found = [points(study, arm, baseline, task, settings) for task in study.tasks]
    if lost := [one.why for one in found if one.estimate is None]:
        return Measured(unit="tasks", why=lost[0])
    return Measured(
        unit="tasks",
        estimate=float(sum((one.estimate or 0) > 0 for one in found)),
        low=float(sum(one.low is not None and one.low > 0 for one in found)),
        high=float(sum(one.high is None or one.high > 0 for one in found)),
        why=f"of {len(found)}; the interval counts tasks surely and possibly above 0",
    )


def spread(study: Study, arm: Arm, baseline: Arm, settings: Settings) -> Measured:
    """Percent by which the SD over seeds of the macro average differs; F interval."""
    sds, counts = [], []
    for one in (arm, baseline):
        if gaps := one.gaps(MACRO, study.tasks):
            return Measured(unit="%", why=f"missing: {one.label}: {'; '.join(gaps)}")
        values = [run.value(MACRO, study.tasks) or 0.0 for run in one.unique()]
        if len(values) < 2:
            return Measured(unit="%", why=f"{one.label} has one run: no spread")
        sds.append(float(np.std(values, ddof=1)))
        counts.append(len(values))
    if min(sds) < 1e-10:
        return Measured(unit="%", why="degenerate: zero seed variance")
    share, tail = sds[0] / sds[1], (1 + settings.confidence) / 2
    low = share / np.sqrt(stats.f.ppf(tail, counts[0] - 1, counts[1] - 1))
    high = share * np.sqrt(stats.f.ppf(tail, counts[1] - 1, counts[0] - 1))
    return Measured(
        unit="%", estimate=percent(share), low=percent(low), high=percent(high), why="F interval"
    )


def ratio(
    arm: Arm,
    baseline: Arm,
    read: Callable[[Any], float | None],
    settings: Settings,
    name: str,
) -> Measured:
    """Percent by which a positive quantity differs, by a t interval of per-seed log ratios."""
    seeds = sorted(set(arm.runs) & set(baseline.runs))
    logs = []
    for seed in seeds:
        x, y = read(arm.runs[seed]), read(baseline.runs[seed])
        if not x or not y or x <= 0 or y <= 0:
            lost = arm.label if not x or x <= 0 else baseline.label
            return Measured(unit="%", why=f"missing: {name} of {lost}, seed {seed}")
        logs.append(float(np.log(x / y)))
    if not logs:
        return Measured(unit="%", why="no common seed")
    found = paired_t(logs, settings.confidence)
    estimate = percent(float(np.exp(np.mean(logs))))
    if found.low is None or found.high is None:
        return Measured(unit="%", estimate=estimate, why=found.status)
    return Measured(
        unit="%",
        estimate=estimate,
        low=percent(float(np.exp(found.low))),
        high=percent(float(np.exp(found.high))),
        why=f"t interval over {found.n} seeds",
    )


def percent(share: float) -> float:
    return 100 * (share - 1)


def routed(arm: Arm, settings: Settings) -> Measured:
    """The permutation p of task and teacher weight being independent."""
    tables = [by_teacher(routing(run)) for run in arm.unique()]
    if not tables or any(table.empty for table in tables):
        return Measured(unit="p", why=f"missing: routing weights of {arm.label}")
    first = tables[0]
    weights = [t.reindex(index=first.index, columns=first.columns).to_numpy() for t in tables]
    nats, p = specialises(weights, np.random.default_rng(settings.seed))
    return Measured(unit="p", estimate=p, why=f"mutual information {nats:.4f} nats")
