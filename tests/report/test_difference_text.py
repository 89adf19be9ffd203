"""Differences in words: conclusions by the corrected p, no `ok` where nothing is claimed."""

from dataclasses import replace

import pytest

from kvdistill.report.difference_text import (
    describe_difference,
    describe_seeds_needed,
    format_significance_line,
)
from kvdistill.stats.bootstrap import ConfidenceInterval
from kvdistill.stats.compare import Difference
from kvdistill.stats.seed_tests import FEW_SEEDS, OK, paired_t_test
from kvdistill.stats.settings import Settings
from kvdistill.stats.summary import Cell

CELL = Cell(values=[0.5, 0.52], mean=0.51, sd=0.014)
SETTINGS = Settings(resamples=999)


def make_difference(recipe_p: float | None = 0.01, **more) -> Difference:
    item = ConfidenceInterval(estimate=0.05, se=0.01, df=99.0, low=0.03, high=0.07, p=0.001)
    recipe = replace(item, low=0.01, high=0.09, p=recipe_p) if recipe_p is not None else None
    fields = {
        "endpoint": "macro", "status": OK if recipe else FEW_SEEDS, "estimate": 0.05,
        "values": ([0.55], [0.5]), "seeds": paired_t_test([0.04, 0.06, 0.05]), "item": item,
        "recipe": recipe, "same_sign": (3, 3), "detectable": 0.03,
    }  # fmt: skip
    return Difference(**(fields | more))


def describe(difference: Difference, **more) -> str:
    return describe_difference("b", "a", difference, Settings(resamples=999, **more))


def test_a_difference_is_shown_by_the_p_that_the_questions_arms_leave():
    assert "A difference is shown;" in describe(make_difference(adjusted={"recipe": 0.02}))
    text = describe(make_difference(adjusted={"recipe": 0.08}))
    assert "Inconclusive: corrected over the question's arms (Holm) p is 0.080" in text
    assert "Inconclusive;" in describe(make_difference(recipe_p=0.3))


def test_another_confidence_is_named_in_interval_and_conclusion():
    text = describe(make_difference(recipe_p=0.3), confidence=0.5)
    assert "50 % interval" in text
    assert "A difference is shown at 50 %" in text


def test_two_seeds_say_what_they_can_and_what_they_cannot():
    text = describe(make_difference(recipe_p=None, same_sign=(2, 2)))
    assert "for these checkpoints" in text
    assert "2 of 2 seeds on that side. No claim about the recipe: two seeds" in text
    assert "ok" not in text.split()
    line = format_significance_line("GSM8K", CELL, CELL, make_difference(recipe_p=None))
    assert f"no star: {FEW_SEEDS}" in line
    assert "*" not in line


@pytest.mark.parametrize(("p", "stars"), [(0.004, "***"), (0.03, "**"), (0.2, "")])
def test_the_studys_p_stands_first_and_the_stars_follow_the_corrected_one(p, stars):
    line = format_significance_line("GSM8K", CELL, CELL, make_difference(adjusted={"stars": p}))
    assert "(p=0.013; corrected p=" in line
    assert line.endswith(f"{p:.3f} {stars}".strip() + ")")


@pytest.mark.parametrize(
    ("seeds", "items", "text"),
    [
        (8, None, "To find 3 points in 8 of 10 such studies takes 8 seeds."),
        (None, 2.31, "it takes more than 2.3 times as many items."),
        (None, 1.0, "takes more than 1000 seeds."),
        (None, None, ""),
    ],
)
def test_more_items_are_asked_for_only_where_no_number_of_seeds_is_enough(seeds, items, text):
    sentence = describe_seeds_needed(make_difference(seeds_needed=seeds, items_needed=items), 3.0)
    assert sentence.endswith(text)
    assert ("items" in sentence) == (items is not None and items > 1)
    assert "1 point in" in describe_seeds_needed(make_difference(seeds_needed=8), 1.0)
