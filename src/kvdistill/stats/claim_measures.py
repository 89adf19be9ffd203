"""What a claim is about, measured: an estimate and its interval in the measure's own unit."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy import stats

from kvdistill.stats import equal_budget
from kvdistill.stats.arm_differences import list_differences
from kvdistill.stats.bootstrap import Stratum, make_stratum, standard_error, wilson_interval
from kvdistill.stats.claims.bound_tests import bound_count, compute_count_p
from kvdistill.stats.claims.curve_measures import measure_curve
from kvdistill.stats.claims.machine_measures import measure_efficiency
from kvdistill.stats.claims.measurement import (
    Measurement,
    convert_ratio_to_percent,
    list_errors,
    scale_error,
)
from kvdistill.stats.claims.seed_spread import MIN_SPREAD_SEEDS, compare_spreads
from kvdistill.stats.combined_interval import (
    combine_variances,
    compute_largest_p,
    estimate_run_noise,
    separate_item_variance,
)
from kvdistill.stats.compare import (
    average_correctness,
    compare_arms,
    explain_refusal,
    get_correctness,
)
from kvdistill.stats.curves import (
    average_over_layers,
    read_routing_weights,
    routing_permutation_test,
)
from kvdistill.stats.hypotheses import CURVE_COLUMNS, EFFICIENCY_PREFIX, PAIR_MEASURES, Claim
from kvdistill.stats.settings import Settings
from kvdistill.stats.study import MACRO, Arm, QuestionRecords, Run, Study


def measure_claim(
    study: Study,
    claim: Claim,
    arm: Arm,
    baseline: Arm | None,
    settings: Settings,
    question: QuestionRecords | None = None,
) -> Measurement:
    """The claim's measure on its arms, in the view of the question that makes it."""
    name = claim.measure
    if name == "routing":
        return measure_routing(arm, settings)
    if name == MACRO or name in study.tasks:
        if baseline is None:
            return measure_score(study, arm, name, settings, claim.bound)
        return measure_difference(study, arm, baseline, name, settings, question)
    if name not in PAIR_MEASURES and not name.startswith(EFFICIENCY_PREFIX):
        return Measurement(unit="", why=f"no task or measure called {name} in this study")
    if baseline is None:
        return Measurement(unit="", why=f"measure {name} needs a baseline")
    if why := explain_pair(arm, baseline, question):
        return Measurement(unit="", why=why)
    if name == "tasks_improved":
        return count_improved_tasks(study, claim, arm, baseline, settings, question)
    if name == "std":
        return compare_seed_sd(study, arm, baseline, settings, claim.bound)
    if name in CURVE_COLUMNS:
        return measure_curve(arm, baseline, name, settings)
    return measure_efficiency(arm, baseline, name.removeprefix(EFFICIENCY_PREFIX), settings)


def explain_pair(arm: Arm, baseline: Arm, question: QuestionRecords | None) -> str:
    """Why two arms were not made equally enough to be compared; empty where they were."""
    view = equal_budget.choose_view(arm, baseline, question)
    refusal = explain_refusal(arm, baseline, list_differences(arm, baseline, question), view)
    return ": ".join(refusal) if refusal else ""


def measure_difference(
    study: Study,
    arm: Arm,
    baseline: Arm,
    endpoint: str,
    settings: Settings,
    question: QuestionRecords | None = None,
) -> Measurement:
    """A difference of scores, in points."""
    comparison = compare_arms(
        arm, baseline, study.tasks, settings, endpoints=[endpoint], question=question
    )
    difference = comparison.differences[endpoint]
    if difference.estimate is None:
        return Measurement(unit="points", why=f"{difference.status}: {difference.why}")
    interval = difference.recipe
    untrained = not arm.trained and not baseline.trained
    if interval is None and untrained:
        interval = difference.item
    if interval is None:
        return Measurement(unit="points", estimate=100 * difference.estimate, why=difference.status)
    return Measurement(
        unit="points",
        estimate=100 * difference.estimate,
        low=100 * interval.low,
        high=100 * interval.high,
        se=100 * interval.se,
        df=interval.df,
        seed_error=scale_error(interval, 100.0),
        why="over items: neither arm is trained" if untrained else "over seeds and items",
    )


def measure_score(
    study: Study, arm: Arm, endpoint: str, settings: Settings, bound: float
) -> Measurement:
    """An arm's own score, in points, over items and, where it is trained, over seeds."""
    if gaps := arm.list_gaps(endpoint, study.tasks):
        return Measurement(unit="points", why=f"missing: {arm.label}: {'; '.join(gaps)}")
    runs = arm.distinct_runs()
    values = np.array([run.get_score(endpoint, study.tasks) for run in runs], dtype=float)
    tasks = study.tasks if endpoint == MACRO else [endpoint]
    estimate = 100 * float(values.mean())
    if any(run.scores[task].correct is None for run in runs for task in tasks):
        return Measurement(unit="points", estimate=estimate, why="no items on disk")
    strata = []
    for task in tasks:
        if any(run.scores[task].items is not runs[0].scores[task].items for run in runs):
            return Measurement(unit="points", estimate=estimate, why=f"{task}: other items by seed")
        subjects = get_subjects(runs[0], task)
        strata.append(make_stratum(task, average_correctness(task, runs), subjects))
    se, df = standard_error(strata)
    parts = [(float(values.var(ddof=1)) / len(values), len(values) - 1)] if arm.trained else []
    if not parts:
        if se == 0:
            return measure_constant_score(estimate, strata, settings, bound)
        half = float(stats.t.ppf((1 + settings.confidence) / 2, df)) * se
        score = clip_score_interval(estimate, values.mean() - half, values.mean() + half)
        return replace(score, se=100 * se, df=df)
    if len(values) < 2:
        return Measurement(unit="points", estimate=estimate, why="one seed")
    noise = [
        estimate_run_noise(
            [get_correctness(task, run) for run in runs], get_subjects(runs[0], task)
        )
        / len(runs)
        for task in tasks
    ]
    item_se = separate_item_variance(strata, noise)
    interval = combine_variances(
        float(values.mean()), parts, item_se, min(df, 1e9), settings.confidence
    )
    if interval is None:
        return Measurement(
            unit="points", estimate=estimate, why="no variance, or under three seeds"
        )
    score = clip_score_interval(estimate, interval.low, interval.high)
    return replace(
        score, se=100 * interval.se, df=interval.df, seed_error=scale_error(interval, 100.0),
        why="over seeds and items",
    )  # fmt: skip


def get_subjects(run: Run, task: str) -> np.ndarray | None:
    """A code an item, where items share context."""
    items = run.scores[task].items
    return items.subjects if items else None


def clip_score_interval(estimate: float, low: float, high: float) -> Measurement:
    """A score's interval, cut where there are no scores."""
    ends = 100 * max(0.0, float(low)), 100 * min(1.0, float(high))
    return Measurement(unit="points", estimate=estimate, low=ends[0], high=ends[1])


def measure_constant_score(
    estimate: float, strata: Sequence[Stratum], settings: Settings, bound: float
) -> Measurement:
    """All items right, or all wrong: Wilson's interval keeps its width; an average has none."""
    if len(strata) > 1:
        return Measurement(unit="points", estimate=estimate, why="no variance over items")
    n = int(strata[0].sizes.sum())
    ends = wilson_interval(round(n * estimate / 100), n, settings.confidence)
    score = clip_score_interval(estimate, *ends)
    if not 0 < bound < 100:
        return score
    # Wilson's interval holds the shares that the score test does not reject (Wilson 1927).
    z = (estimate - bound) / np.sqrt(bound * (100 - bound) / n)
    return replace(score, p=float(2 * stats.norm.sf(abs(z))))


def count_improved_tasks(
    study: Study,
    claim: Claim,
    arm: Arm,
    baseline: Arm,
    settings: Settings,
    question: QuestionRecords | None = None,
) -> Measurement:
    """Tasks with a gain: by estimate, and how many at least and at most, tested together."""
    tasks = [
        measure_difference(study, arm, baseline, task, settings, question) for task in study.tasks
    ]
    if unknown := [one.why for one in tasks if one.estimate is None]:
        return Measurement(unit="tasks", why=unknown[0])
    estimate = float(sum((one.estimate or 0) > 0 for one in tasks))
    gains = [compute_gain_p(one) for one in tasks]
    known = [p for p in gains if p is not None]
    if len(known) < len(gains):
        untested = next(one.why for one, p in zip(tasks, gains, strict=True) if p is None)
        return Measurement(unit="tasks", estimate=estimate, why=untested)
    low, high = bound_count(known, settings.alpha)
    return Measurement(
        unit="tasks",
        estimate=estimate,
        low=float(low),
        high=float(high),
        p=compute_count_p(known, estimate, claim.bound, at_least=claim.at_least is not None),
        why=f"of {len(tasks)}; the interval counts tasks surely and possibly above 0",
    )


def compute_gain_p(task: Measurement) -> float | None:
    """One-sided p of a task without gain; 0.5 where no answer differs, None without an error."""
    estimate = task.estimate or 0.0
    errors = list_errors(task)
    if not errors:
        return 0.5 if estimate == 0 else None
    both_sides = compute_largest_p(estimate, errors)
    return both_sides / 2 if estimate > 0 else 1 - both_sides / 2


def compare_seed_sd(
    study: Study, arm: Arm, baseline: Arm, settings: Settings, bound: float
) -> Measurement:
    """Percent by which the SD over seeds of the macro average differs (claims/seed_spread.py)."""
    scores = []
    for one in (arm, baseline):
        if gaps := one.list_gaps(MACRO, study.tasks):
            return Measurement(unit="%", why=f"missing: {one.label}: {'; '.join(gaps)}")
        scores.append([run.get_score(MACRO, study.tasks) or 0.0 for run in one.distinct_runs()])
        if len(scores[-1]) < 2:
            return Measurement(unit="%", why=f"{one.label} has one run: no spread")
    sds = [float(np.std(values, ddof=1)) for values in scores]
    if min(sds) < 1e-10:
        return Measurement(unit="%", why="degenerate: zero seed variance")
    estimate = convert_ratio_to_percent(sds[0] / sds[1])
    ours, theirs = scores
    spreads = compare_spreads(ours, theirs, 1 + bound / 100, settings.confidence)
    if spreads is None:
        return Measurement(
            unit="%",
            estimate=estimate,
            why=f"descriptive: {len(scores[0])} against {len(scores[1])} runs; a test of spreads "
            f"needs {MIN_SPREAD_SEEDS} or more in each arm, and equally many",
        )
    return Measurement(
        unit="%",
        estimate=estimate,
        low=convert_ratio_to_percent(spreads.low),
        high=None if spreads.high is None else convert_ratio_to_percent(spreads.high),
        p=spreads.p,
        why=f"deviations from the median over {len(scores[0])} seeds",
    )


def measure_routing(arm: Arm, settings: Settings) -> Measurement:
    """The permutation p of task and teacher weight being independent, and how much they share.

    Over tasks that repeat in every seed the p is small for a difference of any size, so it is
    negligible below stats.routing_min_nats.
    """
    tables = [average_over_layers(read_routing_weights(run)) for run in arm.distinct_runs()]
    if not tables or any(table.empty for table in tables):
        return Measurement(unit="p", why=f"missing: routing weights of {arm.label}")
    first = tables[0]
    weights = [t.reindex(index=first.index, columns=first.columns).to_numpy() for t in tables]
    nats, p = routing_permutation_test(weights, np.random.default_rng(settings.seed))
    negligible = nats < settings.routing_min_nats
    side = "below" if negligible else "at or above"
    return Measurement(
        unit="p",
        estimate=p,
        p=p,
        negligible=negligible,
        why=f"mutual information {nats:.4f} nats, {side} stats.routing_min_nats="
        f"{settings.routing_min_nats:g}",
    )
