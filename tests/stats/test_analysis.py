"""Corrections over a question: what gives stars, and how often equal arms show one."""

import numpy as np
import pytest

from kvdistill.stats.analysis import adjust_p_values
from kvdistill.stats.bootstrap import ConfidenceInterval
from kvdistill.stats.compare import ArmComparison, Difference
from kvdistill.stats.multiple_testing import benjamini_hochberg
from kvdistill.stats.seed_tests import OK, format_stars, paired_t_test
from kvdistill.stats.study import MACRO

TASKS = ["one", "two", "three"]


def make_comparison(arm: str, p_values: list[float], seeds: int = 4) -> ArmComparison:
    test = paired_t_test(0.01 * np.arange(1.0, seeds + 1))
    differences = {}
    for endpoint, p in zip((*TASKS, MACRO), p_values, strict=True):
        recipe = ConfidenceInterval(estimate=0.1, se=0.05, df=9.0, low=0.0, high=0.2, p=p)
        differences[endpoint] = Difference(
            endpoint=endpoint, status=OK, estimate=0.1, recipe=recipe, seeds=test
        )
    return ArmComparison(arm=arm, baseline="base", differences=differences)


def list_starred(comparisons: list[ArmComparison]) -> list[float]:
    adjusted = adjust_p_values(comparisons, TASKS)
    return [d.adjusted["stars"] for one in adjusted for d in one.differences.values()]


def test_stars_are_corrected_over_every_arm_and_endpoint_of_the_question():
    p_values = [[0.001, 0.2, 0.5, 0.03], [0.04, 0.9, 0.8, 0.002]]
    comparisons = [make_comparison(f"arm {i}", p) for i, p in enumerate(p_values)]
    assert list_starred(comparisons) == pytest.approx(
        benjamini_hochberg([*p_values[0], *p_values[1]])
    )


def test_equal_arms_show_a_star_somewhere_as_often_as_one_star_says():
    rng = np.random.default_rng(0)
    shown = []
    for _ in range(600):
        comparisons = [make_comparison(f"arm {i}", list(rng.random(4))) for i in range(3)]
        shown.append(any(format_stars(p) for p in list_starred(comparisons)))
    assert np.mean(shown) < 0.1 + 2 * np.sqrt(0.1 * 0.9 / 600)


def test_without_a_claim_about_the_recipe_there_is_no_star():
    comparison = make_comparison("arm", [0.001] * 4)
    bare = {e: Difference(endpoint=e, status="n=1", seeds=d.seeds) for e, d in
            comparison.differences.items()}  # fmt: skip
    lone = ArmComparison(arm="arm", baseline="base", differences=bare)
    assert list_starred([lone]) == [None] * 4
