"""The power of every bound that a plan's claims set: whether its seeds can show what is claimed."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from kvdistill.config.compose import Config
from kvdistill.config.schema import Estimate
from kvdistill.estimate import run_cost
from kvdistill.plan.command_plan import Plan
from kvdistill.records import COUNT, EFFICIENCY_KEYS
from kvdistill.stats.claims import power
from kvdistill.stats.claims.curve_measures import MIN_ROWS
from kvdistill.stats.claims.names import walk_judging
from kvdistill.stats.claims.power import Noise
from kvdistill.stats.hypotheses import CURVE_COLUMNS, EFFICIENCY_PREFIX, ROUTING, Claim, parse_claim
from kvdistill.stats.settings import read_settings
from kvdistill.stats.study import MACRO
from kvdistill.stats.verdicts import choose_level

PAIR_VARIANCE = 2.0
"""Of the difference of two arms that vary alike, by that of one."""


@dataclass(frozen=True, kw_only=True)
class ClaimPower:
    """How often one claim would be supported, by what is true. None where it is not reckoned."""

    question: str
    claim: Claim
    seeds: int = 0
    """Of the arm with fewer."""
    expected: float | None = None
    """What is assumed to be true, in the measure's unit."""
    at_expected: float | None = None
    corrected: float | None = None
    """The same as one of all claims of its question, at the strictest of Holm's levels."""
    at_bound: float | None = None
    """Where the truth is the bound itself."""
    needed: float | None = None
    """The truth that would be shown in 80 of 100 repetitions, in the measure's unit."""
    seeds_needed: int | None = None
    """The fewest seeds at which `expected` would be; None where none are enough."""
    note: str = ""
    """Why there are no figures."""


@dataclass(frozen=True, kw_only=True)
class PowerModel:
    """How a measure's estimate varies, and its scale: bounds and truths are in the claim's unit."""

    noise: Noise
    default: float | None
    """The assumed truth of a claim that states none; None: it must be stated."""
    is_percent: bool = False

    def to_scale(self, value: float | int) -> float:
        """Onto the scale of the noise: a percentage as a log ratio, points as they are."""
        # A positive quantity cannot be less by 100 %.
        return math.log1p(max(value, -99.9) / 100) if self.is_percent else float(value)

    def from_scale(self, value: float) -> float:
        """The same way back."""
        return 100 * math.expm1(value) if self.is_percent else value


def list_claim_powers(plan: Plan, estimate: Estimate) -> list[ClaimPower]:
    """One entry a claim of the plan's questions and of the stats group, in their order."""
    settings = read_settings(plan.config["stats"])
    powers = []
    for where, judging in walk_judging(plan):
        nodes = [*(judging.get("hypotheses") or ()), *(judging.get("criteria") or ())]
        for node in nodes:
            claim = parse_claim(node, where)
            question = where.removeprefix("sweeps/").removesuffix(".yaml")
            alpha = 1 - choose_level(claim, settings)
            powers.append(estimate_power(plan, question, claim, estimate, alpha, len(nodes)))
    return powers


def estimate_power(
    plan: Plan, question: str, claim: Claim, estimate: Estimate, alpha: float, family: int
) -> ClaimPower:
    """The power of one claim; `family` is the number of claims that are judged together."""
    arms = [find_arm_runs(plan, question, label) for label in (claim.arm, claim.baseline) if label]
    known = [arm for arm in arms if arm is not None]
    if len(known) < len(arms):
        return ClaimPower(question=question, claim=claim, note="an arm is not of this command")
    trained = [len(seeds) for seeds, config in known if config["trained"]]
    seeds = min(trained, default=1)
    if claim.measure == "tasks_improved":
        return estimate_count_power(plan, question, claim, estimate, (alpha, alpha / family), seeds)
    model = choose_model(plan.config, claim, estimate, len(trained))
    if isinstance(model, str):
        return ClaimPower(question=question, claim=claim, seeds=seeds, note=model)
    sign = -1.0 if claim.at_most is not None else 1.0
    bound = model.to_scale(claim.bound)
    needed = power.compute_distance_needed(model.noise, seeds, alpha)
    expected = claim.expected if claim.expected is not None else model.default
    at_expected = corrected = seeds_needed = None
    if expected is not None:
        distance = sign * (model.to_scale(expected) - bound)

        def reach(number: int, level: float = alpha) -> float:
            return power.compute_claim_power(distance, model.noise, number, level)

        at_expected, corrected = reach(seeds), reach(seeds, alpha / family)
        seeds_needed = power.count_seeds_for_power(reach) if distance > 0 else None
    return ClaimPower(
        question=question, claim=claim, seeds=seeds,
        expected=None if expected is None else float(expected),
        at_expected=at_expected, corrected=corrected,
        at_bound=power.compute_claim_power(0.0, model.noise, seeds, alpha),
        needed=None if needed is None else model.from_scale(bound + sign * needed),
        seeds_needed=seeds_needed,
    )  # fmt: skip


def find_arm_runs(plan: Plan, question: str, label: str) -> tuple[Mapping[str, str], Config] | None:
    """(seed -> identity, config) of an arm: of its question, of another, or a teacher as it is."""
    own = [plan.questions[question]] if question in plan.questions else []
    for candidate in (*own, *plan.questions.values()):
        if label in candidate.arms:
            seeds = candidate.arms[label]
            return seeds, plan.runs[next(iter(seeds.values()))].config
    identity = plan.references.get(label.removeprefix("teacher "))
    return ({"0": identity}, plan.runs[identity].config) if identity else None


def choose_model(
    config: Config, claim: Claim, estimate: Estimate, trained: int
) -> PowerModel | str:
    """The model of a claim's measure; a sentence where there is none.

    `trained` is the number of its arms, one or two, that vary over seeds.
    """
    name, sign = claim.measure, -1.0 if claim.at_most is not None else 1.0
    percent = sign * estimate.effect_percent
    if name == ROUTING:
        return "a permutation test of the router's weights: not reckoned"
    if name == "loss":
        return "described, not judged: the trained loss has other terms in each arm"
    if name == "std":
        return "a test of two spreads: with three seeds it can hardly show anything"
    if name in CURVE_COLUMNS:
        rows = config["train"]["eval_texts"] // len(config["style"]["templates"])
        if rows < MIN_ROWS:
            return f"described, not judged: {rows} validation rows, under {MIN_ROWS}"
        noise = Noise(
            seed_sd=math.sqrt(trained) * estimate.loss_sd / 100,
            fixed_variance=(estimate.text_sd / 100) ** 2 / rows,
            fixed_df=rows - 1,
        )
        return PowerModel(noise=noise, default=percent, is_percent=True)
    if name.startswith(EFFICIENCY_PREFIX):
        if EFFICIENCY_KEYS.get(name.removeprefix(EFFICIENCY_PREFIX)) == COUNT:
            return "counted, not sampled"
        noise = Noise(seed_sd=math.sqrt(trained) * estimate.time_sd / 100)
        return PowerModel(noise=noise, default=percent, is_percent=True)
    counts = run_cost.count_items(config, estimate)
    tasks = config["tasks"]["tasks"] if name == MACRO else [name]
    if unknown := [task for task in tasks if task not in counts]:
        return f"estimate.items or tasks={config['tasks']['name']} lacks {', '.join(unknown)}"
    seed_sd = math.sqrt(trained) * estimate.seed_sd
    if claim.baseline is None:
        level = (claim.bound if claim.expected is None else claim.expected) / 100
        share = min(max(level, 0.0), 1.0)
        each = [share * (1 - share) / counts[task] for task in tasks]
        default = None
    else:
        each = [estimate.disagreement / counts[task] for task in tasks]
        default = sign * estimate.effect
    # 1e4: an item's variance is a share squared, and points are hundredths.
    noise = Noise(seed_sd=seed_sd, fixed_variance=1e4 * sum(each) / len(each) ** 2)
    return PowerModel(noise=noise, default=default)


def estimate_count_power(
    plan: Plan,
    question: str,
    claim: Claim,
    estimate: Estimate,
    alphas: tuple[float, float],
    seeds: int,
) -> ClaimPower:
    """Of a number of improved tasks: the expected number gains estimate.effect, the others none.

    `alphas` are the level of the claim alone and as one of its family.
    """
    counts = run_cost.count_items(plan.config, estimate)
    tasks = plan.config["tasks"]["tasks"]
    if claim.at_least is None or any(task not in counts for task in tasks):
        return ClaimPower(question=question, claim=claim, seeds=seeds, note="not reckoned")
    variances = np.array([1e4 * estimate.disagreement / counts[task] for task in tasks])
    noise = Noise(seed_sd=math.sqrt(PAIR_VARIANCE) * estimate.seed_sd)

    def reach(gaining: float | int, number: int, alpha: float = alphas[0]) -> float:
        gains = np.where(np.arange(len(tasks)) < gaining, estimate.effect, 0.0)
        return power.simulate_count_power(
            gains, noise, variances, number, math.ceil(claim.bound), alpha
        )

    expected = float(len(tasks) if claim.expected is None else claim.expected)
    return ClaimPower(
        question=question, claim=claim, seeds=seeds, expected=expected,
        at_expected=reach(expected, seeds), corrected=reach(expected, seeds, alphas[1]),
        at_bound=reach(claim.bound, seeds),
        seeds_needed=power.count_seeds_for_power(lambda number: reach(expected, number), 100),
    )  # fmt: skip


def describe_assumptions(estimate: Estimate, config: Config) -> str:
    """What the powers rest on, and where it is set."""
    return (
        f"Assumed (estimate.*): SD over seeds {estimate.seed_sd:g} points, of a validation loss "
        f"{estimate.loss_sd:g} %, of times {estimate.time_sd:g} %; {estimate.disagreement:.0%} of "
        f"items differ; {estimate.text_sd:g} % over validation rows; where a claim states no "
        f"`expected`, a truth of {estimate.effect:g} points or {estimate.effect_percent:g} %. "
        f"Level stats.confidence={config['stats']['confidence']:g}."
    )
