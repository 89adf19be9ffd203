"""The ways in which the platform comes to a claim, tried on a drawn study as a report does it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest import mock

import numpy as np

from kvdistill.report.difference_text import format_significance_line
from kvdistill.stats import compare, power
from kvdistill.stats.analysis import adjust_p_values
from kvdistill.stats.audit.boundaries import compute_look_levels
from kvdistill.stats.bootstrap import Stratum
from kvdistill.stats.compare import compare_arms
from kvdistill.stats.settings import Settings
from kvdistill.stats.study import MACRO, Arm, Study
from kvdistill.stats.summary import Cell
from kvdistill.stats.verdicts import judge_claim, judge_claims
from tests.bench.worlds import BASELINE, TESTED, World, draw_study
from tests.stats.fake import TASKS

SEEDS = (3, 5, 10)
NOMINAL = 0.05
FAMILY = 4
"""Arms of a question whose comparisons are corrected together."""
SETTINGS = Settings(resamples=999)
MODERATED_SETTINGS = replace(SETTINGS, variance="moderated")
DECIDED = ("supported", "refuted")
PAIR_CLAIM = {"arm": TESTED, "baseline": BASELINE}
CELL = Cell(values=(0.5,), mean=0.5, sd=0.0)
"""What stands before the stars of a line does not matter."""
T_OF_THREE = 4.302653
"""The 97.5 % quantile of Student's t with two degrees of freedom."""

Decide = Callable[[World, np.random.Generator, int, float], dict[str, bool]]
"""(world, rng, seeds, effect) -> way -> whether one drawn study was said to show a difference."""

MACRO_CLAIM = "verdict on a difference"
MODERATED = "verdict, stats.variance=moderated"
SPREAD = "verdict on a spread over seeds"
LEVEL = "verdict on an arm's own level"
IMPROVED = "verdict on tasks improved"
ANY_CLAIM = f"any of {FAMILY - 1} verdicts of a study"
ANY_STAR = f"any ** of {FAMILY - 1} arms and {len(TASKS) + 1} endpoints"
LOOKS = "looks at 3, 5 and 10 seeds, with looks: 3"
NOT_OFFERED = "(not offered) "
STOPPING = f"{NOT_OFFERED}5 % at each look from 3 to 10 seeds"
BEST_SEEDS = f"{NOT_OFFERED}paired t of the best 3 seeds"


@contextmanager
def skip_what_is_shown() -> Iterator[None]:
    """Claims rest on the recipe's interval: what is only printed beside it is not worked out.

    That is the bootstrap of the items, the effect that could be detected, and the seeds needed.
    """

    def draw_nothing(stratum: Stratum, draws: int, seed: int) -> np.ndarray:
        del stratum, seed
        return np.linspace(-0.01, 0.01, draws)

    def detect_nothing(*_: object, **__: object) -> None:
        return None

    def plan_nothing(*_: object) -> tuple[None, None]:
        return None, None

    with (
        mock.patch.object(Stratum, "draw_means", draw_nothing),
        mock.patch.object(power, "minimum_detectable_effect", detect_nothing),
        mock.patch.object(compare, "plan_seeds", plan_nothing),
    ):
        yield


def decide_pair(
    world: World, rng: np.random.Generator, seeds: int, effect: float
) -> dict[str, bool]:
    """Verdicts on two arms of a question: difference, spreads, and the tested arm's own level."""
    drawn = draw_study(world, rng, seeds=seeds, effect=effect, arms=FAMILY)
    # The truth is the bound, which no verdict may then be sure to lie on one side of.
    bound = 0.0 if effect else 100 * drawn.recipe
    claims = {
        MACRO_CLAIM: PAIR_CLAIM | {"at_least": bound},
        SPREAD: PAIR_CLAIM | {"measure": "std", "at_most": 0},
        LEVEL: {"arm": TESTED, "at_least": 100 * drawn.level},
    }
    words = {way: decide_claim(drawn.study, claim) for way, claim in claims.items()}
    words[MODERATED] = decide_claim(drawn.study, claims[MACRO_CLAIM], MODERATED_SETTINGS)
    return {way: word in DECIDED for way, word in words.items()}


def decide_claim(study: Study, claim: dict[str, Any], settings: Settings = SETTINGS) -> str:
    """The word of the verdict, as the page has it."""
    (question,) = study.questions.values()
    return read_word(judge_claim(study, {"name": "world", **claim}, question, settings))


def read_word(verdict: Any) -> str:
    """The first word of a verdict: what may follow says how firm it is."""
    return str(verdict.verdict).split()[0]


def decide_family(
    world: World, rng: np.random.Generator, seeds: int, effect: float
) -> dict[str, bool]:
    """A study of several arms: whether any claim is decided, and whether any line has two stars."""
    study = draw_study(world, rng, seeds=seeds, effect=effect, arms=FAMILY).study
    (question,) = study.questions.values()
    labels = [label for label in question.arms if label != BASELINE]
    question.hypotheses = [
        {"name": label, "arm": label, "baseline": BASELINE, "at_least": 0} for label in labels
    ]
    baseline = question.arms[BASELINE]
    words = [read_word(verdict) for verdict in judge_claims(study, SETTINGS)]
    comparisons = [
        compare_arms(question.arms[label], baseline, study.tasks, SETTINGS, question=question)
        for label in labels
    ]
    lines = [
        format_significance_line(endpoint, CELL, CELL, difference)
        for one in adjust_p_values(comparisons, study.tasks)
        for endpoint, difference in one.differences.items()
    ]
    improved = PAIR_CLAIM | {"measure": "tasks_improved", "at_least": 1}
    return {
        IMPROVED: decide_claim(study, improved) == "supported",
        ANY_CLAIM: any(word in DECIDED for word in words),
        ANY_STAR: any("**" in line for line in lines),
    }


def decide_looks(
    world: World, rng: np.random.Generator, seeds: int, effect: float
) -> dict[str, bool]:
    """A study that is looked at as its seeds come: by its boundary, and without one."""
    study = draw_study(world, rng, seeds=seeds, effect=effect).study
    (question,) = study.questions.values()
    p_values = {}
    for count in range(SEEDS[0], seeds + 1):
        arm, baseline = (
            Arm(label=label, runs={s: run for s, run in one.runs.items() if s < count})
            for label, one in ((each, question.arms[each]) for each in (TESTED, BASELINE))
        )
        compared = compare_arms(
            arm, baseline, study.tasks, SETTINGS, endpoints=[MACRO], question=question,
            resample=False,
        ).macro  # fmt: skip
        p_values[count] = compared.recipe.p if compared.recipe else 1.0
    levels = compute_look_levels(len(SEEDS), SEEDS, NOMINAL)
    scores = [
        [run.get_score(MACRO, study.tasks) for _, run in sorted(question.arms[label].runs.items())]
        for label in (TESTED, BASELINE)
    ]
    best = np.sort(np.subtract(*scores))[-3:]
    return {
        LOOKS: any(p_values[n] < level for n, level in zip(SEEDS, levels, strict=True)),
        STOPPING: any(p < NOMINAL for p in p_values.values()),
        BEST_SEEDS: bool(best.mean() / (best.std(ddof=1) / np.sqrt(3)) > T_OF_THREE),
    }
