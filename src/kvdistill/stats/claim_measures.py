"""What a claim is about, measured: an estimate and its interval in the measure's own unit."""

from collections.abc import Sequence

import numpy as np
from scipy import stats

from kvdistill.stats import equal_budget
from kvdistill.stats.arm_differences import list_differences
from kvdistill.stats.bootstrap import Stratum, make_stratum, standard_error, wilson_interval
from kvdistill.stats.claims.curve_measures import measure_curve
from kvdistill.stats.claims.machine_measures import measure_efficiency
from kvdistill.stats.claims.measurement import Measurement, convert_ratio_to_percent
from kvdistill.stats.combined_interval import combine_variances
from kvdistill.stats.compare import average_correctness, compare_arms, explain_refusal
from kvdistill.stats.curves import (
    average_over_layers,
    read_routing_weights,
    routing_permutation_test,
)
from kvdistill.stats.hypotheses import CURVE_COLUMNS, EFFICIENCY_PREFIX, PAIR_MEASURES, Claim
from kvdistill.stats.settings import Settings
from kvdistill.stats.study import MACRO, Arm, QuestionRecords, Study


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
            return measure_score(study, arm, name, settings)
        return measure_difference(study, arm, baseline, name, settings, question)
    if name not in PAIR_MEASURES and not name.startswith(EFFICIENCY_PREFIX):
        return Measurement(unit="", why=f"no task or measure called {name} in this study")
    if baseline is None:
        return Measurement(unit="", why=f"measure {name} needs a baseline")
    if why := explain_pair(arm, baseline, question):
        return Measurement(unit="", why=why)
    if name == "tasks_improved":
        return count_improved_tasks(study, arm, baseline, settings, question)
    if name == "std":
        return compare_seed_sd(study, arm, baseline, settings)
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
        why="over items: neither arm is trained" if untrained else "over seeds and items",
    )


def measure_score(study: Study, arm: Arm, endpoint: str, settings: Settings) -> Measurement:
    """An arm's own score, in points."""
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
        items = runs[0].scores[task].items
        if any(run.scores[task].items is not items for run in runs):
            return Measurement(unit="points", estimate=estimate, why=f"{task}: other items by seed")
        strata.append(
            make_stratum(task, average_correctness(task, runs), items.subjects if items else None)
        )
    se, df = standard_error(strata)
    parts = [(float(values.var(ddof=1)) / len(values), len(values) - 1)] if arm.trained else []
    if not parts:
        if se == 0:
            return measure_constant_score(estimate, strata, settings)
        half = float(stats.t.ppf((1 + settings.confidence) / 2, df)) * se
        return clip_score_interval(estimate, values.mean() - half, values.mean() + half)
    if len(values) < 2:
        return Measurement(unit="points", estimate=estimate, why="one seed")
    interval = combine_variances(float(values.mean()), parts, se, min(df, 1e9), settings.confidence)
    if interval is None:
        return Measurement(
            unit="points", estimate=estimate, why="no variance, or under three seeds"
        )
    return clip_score_interval(estimate, interval.low, interval.high)


def clip_score_interval(estimate: float, low: float, high: float) -> Measurement:
    """A score's interval, cut where there are no scores."""
    ends = 100 * max(0.0, float(low)), 100 * min(1.0, float(high))
    return Measurement(unit="points", estimate=estimate, low=ends[0], high=ends[1])


def measure_constant_score(
    estimate: float, strata: Sequence[Stratum], settings: Settings
) -> Measurement:
    """All items right, or all wrong: Wilson's interval keeps its width; an average has none."""
    if len(strata) > 1:
        return Measurement(unit="points", estimate=estimate, why="no variance over items")
    n = int(strata[0].sizes.sum())
    return clip_score_interval(
        estimate, *wilson_interval(round(n * estimate / 100), n, settings.confidence)
    )


def count_improved_tasks(
    study: Study,
    arm: Arm,
    baseline: Arm,
    settings: Settings,
    question: QuestionRecords | None = None,
) -> Measurement:
    """Tasks with a gain: by estimate, surely (interval above 0), possibly (not below)."""
    measurements = [
        measure_difference(study, arm, baseline, task, settings, question) for task in study.tasks
    ]
    if unknown := [one.why for one in measurements if one.estimate is None]:
        return Measurement(unit="tasks", why=unknown[0])
    return Measurement(
        unit="tasks",
        estimate=float(sum((one.estimate or 0) > 0 for one in measurements)),
        low=float(sum(one.low is not None and one.low > 0 for one in measurements)),
        high=float(sum(one.high is None or one.high > 0 for one in measurements)),
        why=f"of {len(measurements)}; the interval counts tasks surely and possibly above 0",
    )


def compare_seed_sd(study: Study, arm: Arm, baseline: Arm, settings: Settings) -> Measurement:
    """Percent by which the SD over seeds of the macro average differs; F interval."""
    sds, counts = [], []
    for one in (arm, baseline):
        if gaps := one.list_gaps(MACRO, study.tasks):
            return Measurement(unit="%", why=f"missing: {one.label}: {'; '.join(gaps)}")
        values = [run.get_score(MACRO, study.tasks) or 0.0 for run in one.distinct_runs()]
        if len(values) < 2:
            return Measurement(unit="%", why=f"{one.label} has one run: no spread")
        sds.append(float(np.std(values, ddof=1)))
        counts.append(len(values))
    if min(sds) < 1e-10:
        return Measurement(unit="%", why="degenerate: zero seed variance")
    sd_ratio, tail = sds[0] / sds[1], (1 + settings.confidence) / 2
    low = sd_ratio / np.sqrt(stats.f.ppf(tail, counts[0] - 1, counts[1] - 1))
    high = sd_ratio * np.sqrt(stats.f.ppf(tail, counts[1] - 1, counts[0] - 1))
    return Measurement(
        unit="%",
        estimate=convert_ratio_to_percent(sd_ratio),
        low=convert_ratio_to_percent(low),
        high=convert_ratio_to_percent(high),
        why="F interval",
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
        negligible=negligible,
        why=f"mutual information {nats:.4f} nats, {side} stats.routing_min_nats="
        f"{settings.routing_min_nats:g}",
    )
