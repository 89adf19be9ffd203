"""Two arms, endpoint by endpoint: seeds, items, and both, on pairs that are proven to be pairs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from kvdistill.stats import bootstrap, combined_interval, equal_budget, power
from kvdistill.stats.arm_differences import UNDECLARED, explain_undeclared, list_differences
from kvdistill.stats.bootstrap import ConfidenceInterval
from kvdistill.stats.combined_interval import MIN_POOLED_ARMS, MIN_SEEDS
from kvdistill.stats.differences.base import ArmDifference
from kvdistill.stats.item_matrix import explain_item_mismatch
from kvdistill.stats.seed_tests import (
    FEW_SEEDS,
    IDENTICAL,
    MISSING,
    OK,
    TTest,
    paired_t_test,
    welch_t_test,
)
from kvdistill.stats.settings import MODERATED, Settings
from kvdistill.stats.study import EQUAL_STEPS, EQUAL_TIME, MACRO, Arm, QuestionRecords, Run

UNPAIRED = "unpaired items"
UNEQUAL = "unequal budgets"
REFUSED = (UNEQUAL, UNDECLARED)
"""Statuses of arms that were not made equally: nothing is claimed of their difference."""
ZERO = 1e-10


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Arm minus baseline on one endpoint. Shares in [0, 1], never points."""

    endpoint: str
    status: str
    """ok where there is a claim about the recipe, and only there; else why there is none.

    `missing`, `unpaired items`, `unequal budgets` and `undeclared differences` have no estimate.
    """
    why: str = ""
    values: tuple[Sequence[float], Sequence[float]] = ((), ())
    """The scores of the arm's and the baseline's runs that were compared."""
    estimate: float | None = None
    seeds: TTest | None = None
    """The study's paired t (one-sample where the baseline is one run)."""
    unpaired: TTest | None = None
    item: ConfidenceInterval | None = None
    """These checkpoints, new items."""
    recipe: ConfidenceInterval | None = None
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
    """Seeds that find `stats.detect` points; None where no number does, or nothing is known."""
    items_needed: float | None = None
    """How many times as many items it takes before any number of seeds is enough."""
    seed_share: float | None = None
    """Of the claim's variance, the part that comes from seeds and shrinks with them."""
    notes: Sequence[str] = ()
    adjusted: Mapping[str, float | None] = field(default_factory=dict)
    """seeds, recipe, stars -> p after correction within its family."""

    @property
    def claim(self) -> ConfidenceInterval | None:
        """The widest sound interval: the recipe's, else the checkpoints'."""
        return self.recipe or self.item


@dataclass(frozen=True, kw_only=True)
class ArmComparison:
    """Every endpoint of one arm against one baseline."""

    arm: str
    baseline: str
    differences: Mapping[str, Difference]
    contrast: Sequence[ArmDifference] = ()
    """What differs between the two arms beside the seeds."""
    view: str = EQUAL_STEPS
    """In what they are equal: steps, flops or time."""

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
    question: QuestionRecords | None = None,
    view: str | None = None,
) -> ArmComparison:
    """The comparison; `resample=False` leaves out the bootstrap of the items (its SE stays).

    `question` is the one that asks for it, whose view it is and which says what may differ beyond
    its arms; `view` another view than the question's.
    """
    chosen_endpoints = (*tasks, MACRO) if endpoints is None else endpoints
    drawn: DrawnMeans | None = {} if resample else None
    contrast = list_differences(arm, baseline, question)
    view = view or equal_budget.choose_view(arm, baseline, question)
    refusal = explain_refusal(arm, baseline, contrast, view)
    is_moderated = question is not None and settings.variance == MODERATED
    peers = list(question.arms.values()) if question and is_moderated else []
    return ArmComparison(
        arm=arm.label,
        baseline=baseline.label,
        differences={
            e: compare_endpoint(arm, baseline, e, tasks, settings, drawn, refusal, peers)
            for e in chosen_endpoints
        },
        contrast=contrast,
        view=view,
    )


def explain_refusal(
    arm: Arm, baseline: Arm, contrast: Sequence[ArmDifference], view: str
) -> tuple[str, str] | None:
    """(status, why) where two arms were not made equally; None where they may be compared."""
    if why := equal_budget.explain_unequal_arms(arm, baseline, view):
        return UNEQUAL, why
    if why := explain_undeclared(contrast, timing=view == EQUAL_TIME):
        return UNDECLARED, f"{baseline.label} and {arm.label} differ in {why}"
    return None


def compare_endpoint(
    arm: Arm,
    baseline: Arm,
    endpoint: str,
    tasks: Sequence[str],
    settings: Settings,
    drawn: DrawnMeans | None,
    refusal: tuple[str, str] | None,
    peers: Sequence[Arm] = (),
) -> Difference:
    """One endpoint, refused by name where it cannot be known or is not paired.

    `peers` are the arms whose spread over seeds moderates that of the pair; none: its own alone.
    """
    gaps = [
        f"{one.label}: {gap}" for one in (arm, baseline) for gap in one.list_gaps(endpoint, tasks)
    ]
    if gaps or not tasks:
        return Difference(endpoint=endpoint, status=MISSING, why="; ".join(gaps) or "no task")
    if refusal is not None:
        return Difference(endpoint=endpoint, status=refusal[0], why=refusal[1])
    names = list(tasks) if endpoint == MACRO else [endpoint]
    matched = match_runs(arm, baseline)
    left, right = (
        [run.get_score(endpoint, tasks) or 0.0 for run in side]
        for side in (matched.arm, matched.baseline)
    )
    values = (left, right)
    if why := explain_unpaired([*matched.arm, *matched.baseline], names):
        return Difference(endpoint=endpoint, status=UNPAIRED, why=why, values=values)
    seeds = infer_over_seeds(left, right, matched.kind, settings.confidence)
    if peers:
        seeds = moderate_seeds(seeds, matched, peers, endpoint, tasks)
    measured = Difference(endpoint=endpoint, status=OK, values=values, estimate=seeds.estimate)
    return add_intervals(measured, matched, seeds, names, settings, drawn)


class MatchedRuns(NamedTuple):
    """The runs of two arms that are compared, each copy counted once."""

    arm: list[Run]
    baseline: list[Run]
    kind: str
    """paired or one-sample: `arm[i]` with `baseline[i]`; welch: no pairs; one run each."""
    notes: list[str]


def match_runs(arm: Arm, baseline: Arm) -> MatchedRuns:
    """The runs to compare: pair by pair where seeds are common, else all of both arms."""
    notes: list[str] = []
    if not arm.trained and not baseline.trained:
        runs = arm.distinct_runs()[:1], baseline.distinct_runs()[:1]
        return MatchedRuns(*runs, "one run each", notes)
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
            return MatchedRuns(arm.distinct_runs(), baseline.distinct_runs(), "welch", notes)
        notes += [
            f"{side.label}: seeds {', '.join(map(str, alone))} have no counterpart"
            for side in (arm, baseline)
            if (alone := sorted(set(side.runs) - set(seeds)))
        ]
        a, b, kind = [arm.runs[s] for s in seeds], [baseline.runs[s] for s in seeds], "paired"
    # A run copied under a second seed is no second sample: pairs are told by their answers.
    pairs: dict[tuple[str, str], Pair] = {}
    for x, y in zip(a, b, strict=True):
        pairs.setdefault((x.fingerprint, y.fingerprint), (x, y))
    if len(pairs) < len(a):
        notes.append(f"{len(a) - len(pairs)} of {len(a)} pairs copy another: counted once")
    return MatchedRuns([x for x, _ in pairs.values()], [y for _, y in pairs.values()], kind, notes)


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


@dataclass(frozen=True, kw_only=True, eq=False)
class SeedInference:
    """What the runs' scores say on one endpoint, items held fixed. Shares in [0, 1]."""

    estimate: float
    test: TTest
    welch: TTest | None
    """The unpaired test; None where either side is one run, or copies of one."""
    differences: np.ndarray
    """One a pair; of unpaired arms the difference of their means alone."""
    variance_parts: Sequence[tuple[float, int]]
    """(variance of the mean, degrees of freedom): one part for pairs, one an arm for Welch."""

    prior_df: int = 0
    """What the arms that moderate the variance add to its degrees of freedom."""

    @property
    def variance(self) -> float:
        """Of the estimate, over seeds."""
        return float(sum(part for part, _ in self.variance_parts))

    @property
    def single_variance(self) -> float:
        """Of the estimate from one seed of each arm: what n seeds divide by n."""
        return float(sum(part * (df + 1) for part, df in self.variance_parts))

    def add_items(
        self, item_se: float, item_df: float, confidence: float
    ) -> ConfidenceInterval | None:
        """The recipe's interval (stats/combined_interval.py); None where seeds are too few."""
        if not self.variance_parts:
            return None
        # The degrees of freedom are infinite where no item differs.
        df = item_df if np.isfinite(item_df) else 1e9
        return combined_interval.combine_variances(
            self.estimate, self.variance_parts, item_se, df, confidence, self.prior_df
        )


def add_intervals(
    measured: Difference,
    matched: MatchedRuns,
    seeds: SeedInference,
    names: Sequence[str],
    settings: Settings,
    drawn: DrawnMeans | None,
) -> Difference:
    """The difference with its status, its intervals and, where items are drawn, all its tests.

    `names` are the tasks of its endpoint.
    """
    strata = [average_differences(task, matched.arm, matched.baseline) for task in names]
    item = compute_item_interval(strata, settings, drawn)
    run_noise = [measure_run_noise(task, matched) for task in names]
    item_se = combined_interval.separate_item_variance(strata, run_noise)
    recipe = seeds.add_items(item_se, item.df, settings.confidence)
    tested = replace(measured, status=name_status(seeds, item, recipe), recipe=recipe)
    if drawn is None:  # marks in a table need the p value alone
        return tested
    sized = add_effect_sizes(tested, matched.notes, seeds, item, item_se, settings)
    return replace(sized, mcnemar=compute_mcnemar(matched, names))


def infer_over_seeds(
    arm: Sequence[float], baseline: Sequence[float], kind: str, confidence: float
) -> SeedInference:
    """The t tests of two arms' scores, matched as `MatchedRuns.kind` says."""
    x, y = np.asarray(arm, dtype=float), np.asarray(baseline, dtype=float)
    estimate = float(x.mean() - y.mean())
    # Against one untrained run the copies of its score are no sample.
    many = kind in ("paired", "welch") and min(len(x), len(y)) > 1
    welch = welch_t_test(x, y, confidence) if many else None
    if kind == "welch":
        test, differences = welch_t_test(x, y, confidence), np.array([estimate])
        parts = [part for part in map(combined_interval.compute_mean_variance, (x, y)) if part]
        # One run on a side: no variance is known for it, so no recipe may be claimed.
        parts = parts if len(parts) == 2 else [(0.0, 0)]
    else:
        differences = x - y
        test = paired_t_test(differences, confidence, kind)
        part = combined_interval.compute_mean_variance(differences)
        parts = [part] if part else []
    return SeedInference(
        estimate=estimate,
        test=test,
        welch=welch,
        differences=differences,
        # Rounding of equal differences is no variance: a claim would rest on the items alone.
        variance_parts=[(v if v > ZERO**2 else 0.0, df) for v, df in parts],
    )


def moderate_seeds(
    seeds: SeedInference,
    matched: MatchedRuns,
    peers: Sequence[Arm],
    endpoint: str,
    tasks: Sequence[str],
) -> SeedInference:
    """The inference with its seed variance moderated by the question's arms, or as it is.

    Which of both is noted among the pairs' notes. Arms count that have every seed of the pairs.
    """
    numbers = [run.seed for run in matched.arm]
    scores = [
        [arm.runs[seed].get_score(endpoint, tasks) for seed in numbers]
        for arm in peers
        if arm.trained and all(seed in arm.runs and arm.runs[seed].done for seed in numbers)
    ]
    known = [row for row in scores if all(score is not None for score in row)]
    if matched.kind != "paired" or len(numbers) < MIN_SEEDS or len(known) < MIN_POOLED_ARMS:
        matched.notes.append(
            f"seed variance its own: {len(known)} arms of {len(numbers)} common seeds, of "
            f"{MIN_POOLED_ARMS} and {MIN_SEEDS} that moderating needs"
        )
        return seeds
    ((part, df),) = seeds.variance_parts
    # Equal differences in every seed are a case by itself, with a name and without a p.
    if part == 0:
        return seeds
    pooled = combined_interval.pool_seed_variance(np.array(known, dtype=float))
    moderated = combined_interval.moderate_variance(part * (df + 1), df, pooled)
    if moderated is None:
        matched.notes.append("seed variance its own: it exceeds that of the question's arms")
        return seeds
    matched.notes.append(f"seed variance moderated over {len(known)} arms")
    parts = [(moderated / (df + 1), df)]
    return replace(seeds, variance_parts=parts, prior_df=combined_interval.PRIOR_DF)


def name_status(
    seeds: SeedInference, item: ConfidenceInterval, recipe: ConfidenceInterval | None
) -> str:
    """`ok` where the recipe has an interval; `identical` where no item and no seed differs."""
    if seeds.test.status != OK and item.se == 0 and abs(seeds.estimate) < ZERO:
        return IDENTICAL
    # A t test of two seeds is a test, and no claim about the recipe.
    return FEW_SEEDS if seeds.test.status == OK and recipe is None else seeds.test.status


def add_effect_sizes(
    tested: Difference,
    notes: Sequence[str],
    seeds: SeedInference,
    item: ConfidenceInterval,
    item_se: float,
    settings: Settings,
) -> Difference:
    """The difference with its tests, effect sizes and what could have been detected.

    `item_se` is the items' own, without the run noise that is part of `item`.
    """
    same_sign = np.sign(seeds.differences) == np.sign(seeds.estimate)
    noise = tested.recipe or seeds.test
    total = seeds.variance + item_se**2
    seeds_needed, items_needed = plan_seeds(seeds, item_se, settings)
    return replace(
        tested,
        why=seeds.test.note,
        seeds=seeds.test,
        unpaired=seeds.welch,
        item=item,
        effect=power.hedges_g(seeds.differences),
        improvement=power.probability_of_improvement(*tested.values),
        same_sign=(int(same_sign.sum()), len(seeds.differences)),
        detectable=power.minimum_detectable_effect(
            noise.se or 0.0,
            noise.df or 0.0,
            settings.alpha,
            seed_error=tested.recipe.seed_error if tested.recipe else None,
        ),
        seeds_needed=seeds_needed,
        items_needed=items_needed,
        seed_share=seeds.variance / total if total > 0 else None,
        notes=notes,
    )


def compute_item_interval(
    strata: Sequence[bootstrap.Stratum], settings: Settings, drawn: DrawnMeans | None
) -> ConfidenceInterval:
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
    return ConfidenceInterval(estimate=estimate, se=se, df=df, low=np.nan, high=np.nan, p=None)


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
        total = total + get_correctness(task, run)
    return np.asarray(total) / len(runs)


def compute_mcnemar(matched: MatchedRuns, tasks: Sequence[str]) -> float | None:
    """McNemar's mid-p of one run a side over the items of one task; None for masses, or more."""
    if not len(matched.arm) == len(matched.baseline) == len(tasks) == 1:
        return None
    (task,) = tasks
    x, y = average_correctness(task, matched.arm), average_correctness(task, matched.baseline)
    binary = np.isin(x, (0, 1)).all() and np.isin(y, (0, 1)).all()
    return bootstrap.mcnemar_mid_p(x, y) if binary else None


def measure_run_noise(task: str, matched: MatchedRuns) -> float:
    """What run noise adds to the variance over a task's items of the averaged difference."""
    items = matched.arm[0].scores[task].items
    subjects = items.subjects if items else None
    arm, baseline = (
        [get_correctness(task, run) for run in side] for side in (matched.arm, matched.baseline)
    )
    # Pairs may share noise (one order of data under one seed), so that it is taken from the pair.
    unpaired = matched.kind == "welch"
    groups = [arm, baseline] if unpaired else [[x - y for x, y in zip(arm, baseline, strict=True)]]
    return sum(
        combined_interval.estimate_run_noise(group, subjects, task) / len(group) for group in groups
    )


def get_correctness(task: str, run: Run) -> np.ndarray:
    """Correctness an item, in double precision; the items must be on disk."""
    correct = run.scores[task].correct
    assert correct is not None
    return correct.astype(np.float64)


def plan_seeds(
    seeds: SeedInference, item_se: float, settings: Settings
) -> tuple[int | None, float | None]:
    """(seeds that find `stats.detect` points at the spread seen here, times as many items).

    The second is None where seeds alone are enough; both are where no spread is known.
    """
    if not any(df > 0 for _, df in seeds.variance_parts):
        return None, None
    effect, seed_sd = settings.detect / 100, float(np.sqrt(seeds.single_variance))
    needed = power.count_seeds_needed(effect, seed_sd, item_se, settings.alpha)
    factor = power.count_items_needed(effect, item_se, settings.alpha) if needed is None else None
    return needed, factor
