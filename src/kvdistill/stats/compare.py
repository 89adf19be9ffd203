"""Two arms, endpoint by endpoint: seeds, items, and both, on pairs that are proven to be pairs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from kvdistill.stats import bootstrap, combined_interval, equal_budget, power
from kvdistill.stats.bootstrap import Interval
from kvdistill.stats.item_matrix import explain_item_mismatch
from kvdistill.stats.seed_tests import IDENTICAL, MISSING, OK, TTest, paired_t_test, welch_t_test
from kvdistill.stats.settings import Settings
from kvdistill.stats.study import MACRO, Arm, Run

UNPAIRED = "unpaired items"
UNEQUAL = "unequal budgets"
ZERO = 1e-10


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Arm minus baseline on one endpoint. Shares in [0, 1], never points."""

    endpoint: str
    status: str
    """ok, or why there is no seed inference.

    `missing`, `unpaired items` and `unequal budgets` have no estimate.
    """
    why: str = ""
    values: tuple[Sequence[float], Sequence[float]] = ((), ())
    """The scores of the arm's and the baseline's runs that were compared."""
    estimate: float | None = None
    seeds: TTest | None = None
    """The study's paired t (one-sample where the baseline is one run)."""
    unpaired: TTest | None = None
    item: Interval | None = None
    """These checkpoints, new items."""
    recipe: Interval | None = None
    """The recipe: new seeds and new items. The claim that verdicts use."""
    mcnemar: float | None = None
    """Mid-p, where each arm is one run."""
    effect: float | None = None
    improvement: float | None = None
    same_sign: tuple[int, int] | None = None
    """(pairs with the estimate's sign, pairs)."""
    detectable: float | None = None
    """Smallest difference found with 80 % power at this noise."""
    seeds_needed: int | None = None
    seed_share: float | None = None
    """Of the claim's variance, the part that comes from seeds."""
    notes: Sequence[str] = ()
    adjusted: Mapping[str, float | None] = field(default_factory=dict)
    """seeds, recipe -> p after correction within its family."""

    @property
    def claim(self) -> Interval | None:
        """The widest sound interval: the recipe's, else the checkpoints'."""
        return self.recipe or self.item


@dataclass(frozen=True, kw_only=True)
class ArmComparison:
    """Every endpoint of one arm against one baseline."""

    arm: str
    baseline: str
    differences: Mapping[str, Difference]

    @property
    def macro(self) -> Difference:
        """The primary endpoint."""
        return self.differences[MACRO]


Pair = tuple[Run, Run]
DrawnMeans = dict[str, np.ndarray]
"""Task -> bootstrap means, drawn once for the task and for the macro average."""


def compare_arms(
    arm: Arm,
    baseline: Arm,
    tasks: Sequence[str],
    settings: Settings,
    *,
    endpoints: Sequence[str] | None = None,
    resample: bool = True,
) -> ArmComparison:
    """The comparison; `resample=False` leaves out the bootstrap of the items (its SE stays)."""
    chosen_endpoints = (*tasks, MACRO) if endpoints is None else endpoints
    drawn: DrawnMeans | None = {} if resample else None
    return ArmComparison(
        arm=arm.label,
        baseline=baseline.label,
        differences={
            e: compare_endpoint(arm, baseline, e, tasks, settings, drawn) for e in chosen_endpoints
        },
    )


def compare_endpoint(
    arm: Arm,
    baseline: Arm,
    endpoint: str,
    tasks: Sequence[str],
    settings: Settings,
    drawn: DrawnMeans | None,
) -> Difference:
    """One endpoint, refused by name where it cannot be known or is not paired."""
    gaps = [
        f"{one.label}: {gap}" for one in (arm, baseline) for gap in one.list_gaps(endpoint, tasks)
    ]
    if gaps or not tasks:
        return Difference(endpoint=endpoint, status=MISSING, why="; ".join(gaps) or "no task")
    if why := equal_budget.explain_unequal_arms(arm, baseline):
        return Difference(endpoint=endpoint, status=UNEQUAL, why=why)
    names = list(tasks) if endpoint == MACRO else [endpoint]
    a, b, kind, notes = match_runs(arm, baseline)
    left, right = ([run.get_score(endpoint, tasks) or 0.0 for run in side] for side in (a, b))
    values = (left, right)
    if why := explain_unpaired([*a, *b], names):
        return Difference(endpoint=endpoint, status=UNPAIRED, why=why, values=values)
    return infer(endpoint, a, b, kind, names, values, settings, drawn, notes)


def match_runs(arm: Arm, baseline: Arm) -> tuple[list[Run], list[Run], str, list[str]]:
    """The runs to compare, pair by pair where seeds are common, each copy counted once.

    Returns (runs, runs, kind, notes); with kind `welch` the two lists are not pairs.
    """
    notes: list[str] = []
    if not arm.trained and not baseline.trained:
        return arm.distinct_runs()[:1], baseline.distinct_runs()[:1], "one run each", notes
    if not arm.trained or not baseline.trained:
        constant = baseline if arm.trained else arm
        notes.append(f"{constant.label} has no training seed: one-sample test against it")
        seeds = sorted((arm if arm.trained else baseline).runs)
        (one, *_) = constant.distinct_runs()
        a = [arm.runs[s] if arm.trained else one for s in seeds]
        b = [baseline.runs[s] if baseline.trained else one for s in seeds]
        kind = "one-sample"
    else:
        seeds = sorted(set(arm.runs) & set(baseline.runs))
        if not seeds:
            notes.append("no common seed: unpaired over seeds, items still paired")
            return arm.distinct_runs(), baseline.distinct_runs(), "welch", notes
        notes += [
            f"{side.label}: seeds {', '.join(map(str, alone))} have no counterpart"
            for side in (arm, baseline)
            if (alone := sorted(set(side.runs) - set(seeds)))
        ]
        a, b, kind = [arm.runs[s] for s in seeds], [baseline.runs[s] for s in seeds], "paired"
    pairs: dict[tuple[str, str], Pair] = {}
    for x, y in zip(a, b, strict=True):
        pairs.setdefault((x.fingerprint, y.fingerprint), (x, y))
    if len(pairs) < len(a):
        notes.append(f"{len(a) - len(pairs)} of {len(a)} pairs copy another: counted once")
    return [x for x, _ in pairs.values()], [y for _, y in pairs.values()], kind, notes


def explain_unpaired(runs: Sequence[Run], tasks: Sequence[str]) -> str:
    """Why the runs did not answer the same items with the same prompts; empty when proven."""
    for task in tasks:
        first = runs[0].scores[task].items
        for run in runs:
            items = run.scores[task].items
            if first is None or items is None:
                return f"{task}: no items on disk, so pairs cannot be proven"
            if why := explain_item_mismatch(first, items):
                return why
    return ""


def infer(
    endpoint: str,
    a: Sequence[Run],
    b: Sequence[Run],
    kind: str,
    tasks: Sequence[str],
    values: tuple[Sequence[float], Sequence[float]],
    settings: Settings,
    drawn: DrawnMeans | None,
    notes: Sequence[str],
) -> Difference:
    """Every statistic of one proven pair of arms."""
    x, y = (np.asarray(side, dtype=float) for side in values)
    estimate = float(x.mean() - y.mean())
    strata = [average_differences(task, a, b) for task in tasks]
    item = compute_item_interval(strata, settings, drawn)
    # Against one untrained run the copies of its score are no sample.
    many = kind in ("paired", "welch") and min(len(x), len(y)) > 1
    welch = welch_t_test(x, y, settings.confidence) if many else None
    if kind == "welch":
        seeds = welch_t_test(x, y, settings.confidence)
        parts = [(float(v.var(ddof=1)) / len(v), len(v) - 1) for v in (x, y) if len(v) > 1]
        parts = parts if len(parts) == 2 else [(0.0, 0)]
        pairs = np.array([estimate])
    else:
        pairs = x - y
        seeds = paired_t_test(pairs, settings.confidence, kind)
        parts = [(float(pairs.var(ddof=1)) / len(pairs), len(pairs) - 1)] if len(pairs) > 1 else []
    parts = [(v if v > ZERO**2 else 0.0, df) for v, df in parts]
    claim = combine_recipe_interval(estimate, parts, item, settings)
    status = seeds.status
    if status != OK and item.se == 0 and abs(estimate) < ZERO:
        status = IDENTICAL
    if drawn is None:  # only its p value is wanted
        return Difference(
            endpoint=endpoint, status=status, values=values, estimate=estimate, recipe=claim
        )
    noise = claim or seeds
    seed_variance = sum(v for v, _ in parts)
    total = seed_variance + item.se**2
    return Difference(
        endpoint=endpoint,
        status=status,
        why=seeds.note,
        values=values,
        estimate=estimate,
        seeds=seeds,
        unpaired=welch,
        item=item,
        recipe=claim,
        mcnemar=compute_mcnemar(a, b, tasks) if len(a) == len(b) == 1 else None,
        effect=power.hedges_g(pairs),
        improvement=power.probability_of_improvement(x, y),
        same_sign=(int((np.sign(pairs) == np.sign(estimate)).sum()), len(pairs)),
        detectable=power.minimum_detectable_effect(
            noise.se or 0.0, noise.df or 0.0, settings.alpha
        ),
        seeds_needed=count_seeds_needed_for(pairs, item, settings),
        seed_share=seed_variance / total if total > 0 else None,
        notes=notes,
    )


def combine_recipe_interval(
    estimate: float, parts: Sequence[tuple[float, int]], item: Interval, settings: Settings
) -> Interval | None:
    """The recipe-level interval, where there are seeds enough."""
    if not parts:
        return None
    df = item.df if np.isfinite(item.df) else 1e9
    return combined_interval.combine_variances(estimate, parts, item.se, df, settings.confidence)


def compute_item_interval(
    strata: Sequence[bootstrap.Stratum], settings: Settings, drawn: DrawnMeans | None
) -> Interval:
    """The checkpoints' interval: by bootstrap, or (for marks in a table) its SE alone."""
    if drawn is not None:
        for stratum in strata:
            if stratum.name not in drawn:
                drawn[stratum.name] = stratum.draw_means(settings.resamples, settings.seed)
        return bootstrap.bootstrap_interval(
            strata, confidence=settings.confidence, draws=settings.resamples, replicates=drawn
        )
    se, df = bootstrap.standard_error(strata)
    estimate = float(np.mean([s.estimate for s in strata]))
    return Interval(estimate=estimate, se=se, df=df, low=np.nan, high=np.nan, p=None)


def average_differences(task: str, a: Sequence[Run], b: Sequence[Run]) -> bootstrap.Stratum:
    """Seed-averaged difference an item."""
    items = a[0].scores[task].items
    return bootstrap.make_stratum(
        task,
        average_correctness(task, a) - average_correctness(task, b),
        items.subjects if items else None,
    )


def average_correctness(task: str, runs: Sequence[Run]) -> np.ndarray:
    """Mean correctness an item over runs that answered the same items."""
    total: np.ndarray | float = 0.0
    for run in runs:
        correct = run.scores[task].correct
        assert correct is not None
        total = total + correct.astype(np.float64)
    return np.asarray(total) / len(runs)


def compute_mcnemar(a: Sequence[Run], b: Sequence[Run], tasks: Sequence[str]) -> float | None:
    """McNemar's mid-p over all items of one task; None for the macro average or a mass."""
    if len(tasks) != 1:
        return None
    x, y = average_correctness(tasks[0], a), average_correctness(tasks[0], b)
    binary = np.isin(x, (0, 1)).all() and np.isin(y, (0, 1)).all()
    return bootstrap.mcnemar_mid_p(x, y) if binary else None


def count_seeds_needed_for(pairs: np.ndarray, item: Interval, settings: Settings) -> int | None:
    """Seeds needed to find `stats.detect` points at the spread seen here."""
    if len(pairs) < 2:
        return None
    return power.count_seeds_needed(
        settings.detect / 100, float(pairs.std(ddof=1)), item.se, settings.alpha
    )
