import math
from dataclasses import replace

import pytest

from kvdistill.evaluate import aggregate
from kvdistill.records import Item


def make_items(task="t", **subjects):
    return [
        Item(task=task, item=f"{s}/{n}", doc_hash="", prompt_hash="", correct=float(c))
        for s, outcomes in subjects.items()
        for n, c in enumerate(outcomes)
    ]


def score_rows(rows, chance=0.0):
    return aggregate.score_task("acc", rows, {row.item: chance for row in rows})


def test_a_task_counts_items_and_beside_it_subjects():
    score = score_rows(make_items(law=[1, 1, 1, 0], art=[0]), chance=0.25)
    assert score.score == 0.6
    assert score.by_subject == 0.375
    # law: (.75 - .25) / .75; art lies below chance and counts as 0, not less.
    assert score.normalised == pytest.approx((2 / 3 + 0) / 2)
    assert score.stderr == pytest.approx(math.sqrt(0.24 / 4))
    assert score.chance == 0.25


def test_readings_that_differ_are_counted_though_their_scores_are_equal():
    first, second = make_items(x=[1, 0])
    items = [replace(first, alternative=0.0), replace(second, alternative=1.0)]
    score = score_rows(items)
    assert score.score == score.alternative == 0.5
    assert score.disagree == 1.0
    assert score_rows([first]).disagree is None


def test_one_item_has_no_standard_error():
    assert score_rows(make_items(law=[1])).stderr is None


def test_the_macro_average_counts_tasks_and_not_items():
    both = {"a": score_rows(make_items("a", x=[1] * 99)), "b": score_rows(make_items("b", x=[0]))}
    assert aggregate.compute_macro_average(both, ["a", "b"]) == 0.5
    assert aggregate.compute_macro_average(both, ["a"]) == 1.0
    assert aggregate.compute_task_deviation(both, ["a", "b"]) == 0.5


def test_a_missing_task_leaves_no_macro_average():
    one = {"a": score_rows(make_items("a", x=[1]))}
    assert aggregate.compute_macro_average(one, ["a", "b"]) is None
    assert aggregate.compute_task_deviation(one, ["a", "b"]) is None


@pytest.mark.parametrize(("score", "out"), [(0.25, 0.0), (0.1, 0.0), (1.0, 1.0), (0.625, 0.5)])
def test_chance_is_nothing_and_all_right_is_one(score, out):
    assert aggregate.normalise_by_chance(score, 0.25) == out


def test_the_gap_needs_both_sides():
    train, test = score_rows(make_items("a", x=[1, 1])), score_rows(make_items("a", x=[1, 0]))
    both = {"train_questions": train, "test_questions": test}
    assert aggregate.compute_generalisation_gap(both) == 0.5
    assert aggregate.compute_generalisation_gap({"test_questions": test}) is None


def test_the_clean_score_leaves_out_what_training_held():
    rows = make_items(law=[1, 1, 0, 0])
    score = aggregate.score_clean_items(score_rows(rows), rows, {"law/0", "law/1", "art/9"})
    assert (score.tainted, score.clean, score.score) == (2, 0.0, 0.5)
    assert aggregate.score_clean_items(score_rows(rows), rows, set()).clean == 0.5


def test_nothing_clean_has_no_score_and_no_macro_average():
    rows = make_items(law=[1])
    score = aggregate.score_clean_items(score_rows(rows), rows, {"law/0"})
    assert (score.tainted, score.clean) == (1, None)
    assert aggregate.compute_macro_average({"a": score}, ["a"], "clean") is None
