"""A word, a star or a sentence that says more than its numbers do."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kvdistill.stats.analysis import analyse_study
from kvdistill.stats.claim_measures import measure_claim
from kvdistill.stats.hypotheses import build_registration, parse_claim
from kvdistill.stats.load import load_study
from kvdistill.stats.seed_tests import format_stars
from kvdistill.stats.settings import Settings
from kvdistill.stats.study import Arm, Run, Scores, Study
from kvdistill.stats.verdicts import SUPPORTED, compute_claim_p, judge_claims
from tests.bench.attacks.outcome import Outcome, judge_text
from tests.bench.attacks.studies import report_study
from tests.bench.worlds import NORMAL, World, draw_study
from tests.stats import fake

TASKS = {"one": 150, "two": 150}
ARMS = {"base": 0.0, "better": 0.12}
CLAIM = {"name": "F", "arm": "better", "baseline": "base"}
FAST = Settings(resamples=999)
ONE_STAR = 0.1
"""Nominal share of questions of equal arms that show a star."""


def attack_11_a_word_that_33_claims_do_not_leave(folder: Path) -> Outcome:
    """One interval just above its bound, among 32 others that decide nothing."""
    ends = measure_alone(folder / "alone")
    nodes = [CLAIM | {"at_least": ends[0] - 0.01}]
    nodes += [CLAIM | {"name": f"U{i}", "at_least": ends[1] + 0.001 * i} for i in range(1, 33)]
    study = write_claims(folder / "many", nodes)
    first = judge_claims(load_study([study]), FAST)[0]
    if first.outcome == SUPPORTED:
        return Outcome("passed", f"{first.verdict}: p {first.p}, corrected {first.adjusted_p}")
    return judge_text(report_study(study), "33 claims", "corrected")


def attack_11_supported_at_half_confidence(folder: Path) -> Outcome:
    """stats.confidence=0.5, by which every other difference is a finding."""
    criterion = CLAIM | {"name": "C", "level": "minimum", "at_least": 0.0}
    study = write_claims(folder, [CLAIM | {"at_least": 0.0}, criterion])
    finding, judged = judge_claims(load_study([study]), Settings(resamples=999, confidence=0.5))
    if finding.verdict == SUPPORTED or judged.confidence < 0.95:
        return Outcome("passed", f"{finding.verdict}; criterion at {judged.confidence}")
    return judge_text(report_study(study, {"confidence": 0.5, "resamples": 999}), "at 50 %")


def attack_16_spreads_under_outliers(folder: Path) -> Outcome:
    """Equal arms whose seeds have heavy tails: how often one is called steadier."""
    del folder
    rng = np.random.default_rng(0)
    claim = parse_claim({**CLAIM, "measure": "std", "at_most": 0.0})
    rates = {}
    for seeds in (3, 10):
        hits = [decide_spread(claim, rng.standard_t(3, (2, seeds)) / 100) for _ in range(1000)]
        rates[seeds] = float(np.mean(hits))
    bound = 0.07 + 2 * np.sqrt(0.07 * 0.93 / 1000)
    text = ", ".join(f"{100 * rate:.1f} % of 1000 at {n} seeds" for n, rate in rates.items())
    verdict = "passed" if max(rates.values()) > bound else "refused"
    return Outcome(verdict, f"equal spreads are called different in {text}")


def attack_17_stars_between_equal_arms(folder: Path) -> Outcome:
    """A/A: a star somewhere among the average and seven tasks, at three and at ten seeds."""
    del folder
    rng = np.random.default_rng(0)
    world = World(name="A/A", seed_sd=0.6, tails=NORMAL)
    shares = {}
    for seeds, studies in ((3, 60), (10, 40)):
        shown = [has_star(draw_study(world, rng, seeds=seeds).study) for _ in range(studies)]
        shares[seeds] = (float(np.mean(shown)), studies)
    text = ", ".join(f"{100 * s:.0f} % of {n} at {k} seeds" for k, (s, n) in shares.items())
    too_many = any(
        s > ONE_STAR + 2 * np.sqrt(ONE_STAR * (1 - ONE_STAR) / n) for s, n in shares.values()
    )
    return Outcome("passed" if too_many else "refused", f"a star somewhere in {text}")


def attack_18_items_where_seeds_are_enough(folder: Path) -> Outcome:
    """The sentence on what it takes to find three points, where eight seeds or so do."""
    study = fake.write_study(
        folder, {"q": ARMS}, tasks={"one": 2000, "two": 2000}, untrained=(), seeds=(1, 2, 3, 4)
    )
    page = report_study(study, {"detect": 3.0, "resamples": 999})
    if "items" in page.split("To find 3 points")[-1][:60] or "more items are needed" in page:
        return Outcome("passed", "more items are asked for where more seeds are enough")
    return judge_text(page, "to find 3 points in 8 of 10 such studies takes")


def attack_20_ok_where_nothing_is_claimed(folder: Path) -> Outcome:
    """Two seeds, of which nothing about a third can be claimed."""
    nodes = [CLAIM | {"at_least": 0.0}, CLAIM | {"name": "S", "measure": "std", "at_most": 0.0}]
    page = report_study(write_claims(folder, nodes, seeds=(1, 2)), {"resamples": 999})
    if "recipe: ok" in page.lower() or "interval: ok" in page.lower():
        return Outcome("passed", "the status of no claim reads ok")
    return judge_text(page, "no claim about the recipe: two seeds say nothing about a third")


def write_claims(folder: Path, nodes: Sequence[dict[str, Any]], **more: Any) -> Path:
    """A finished study of ARMS whose runs hold these claims."""
    return fake.write_study(
        folder, {"q": ARMS}, tasks=TASKS, untrained=(), judged={"q": {"hypotheses": nodes}},
        extra={"hypotheses": build_registration(nodes)}, **more,
    )  # fmt: skip


def measure_alone(folder: Path) -> tuple[float, float]:
    """(lower end, estimate) of the difference, as a claim alone has it."""
    study = load_study([write_claims(folder, [CLAIM | {"at_least": 0.0}])])
    measured = judge_claims(study, FAST)[0].measured
    assert measured.low is not None
    assert measured.estimate is not None
    return measured.low, measured.estimate


def decide_spread(claim: Any, scores: np.ndarray) -> bool:
    """Whether the claim on the SD of two arms with these scores by seed is decided."""
    arms = [
        make_scored_arm(label, row) for label, row in zip(("better", "base"), scores, strict=True)
    ]
    study = Study(name="s", folders=[], tasks=["one"], questions={}, runs={}, references={})
    p = compute_claim_p(claim, measure_claim(study, claim, *arms, FAST))
    return p is not None and p < FAST.alpha


def make_scored_arm(label: str, scores: np.ndarray) -> Arm:
    """An arm of one task, by its runs' scores alone."""
    runs = {}
    for seed, score in enumerate(scores):
        one = Scores(
            task="one", metric="acc", score=float(score), chance=0.0, n=100, unparsed=0.0,
            truncated=0.0, empty=0.0,
        )  # fmt: skip
        runs[seed] = Run(
            identity=f"{label}{seed}", folder=Path(), arm=label, seed=seed, trained=True,
            scores={"one": one},
        )  # fmt: skip
    return Arm(label=label, runs=runs)


def has_star(study: Study) -> bool:
    """Whether any endpoint of any arm shows a star."""
    (analysis,) = analyse_study(study, FAST).values()
    return any(
        format_stars(difference.adjusted.get("stars"))
        for comparison in analysis.comparisons.values()
        for difference in comparison.differences.values()
    )
