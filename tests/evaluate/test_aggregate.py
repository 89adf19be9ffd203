import math

import pytest

from kvdistill.evaluate import aggregate
from kvdistill.records import Item


def items(task="t", **subjects):
    return [
        Item(task=task, item=f"{s}/{n}", doc_hash="", prompt_hash="", correct=float(c))
        for s, outcomes in subjects.items()
        for n, c in enumerate(outcomes)
    ]


def scored(rows, chance=0.0):
    return aggregate.task_score("acc", rows, {row.item: chance for row in rows})


def test_a_task_counts_items_and_beside_it_subjects():
    score = scored(items(law=[1, 1, 1, 0], art=[0]), chance=0.25)
    assert score.score == 0.6
    assert score.by_subject == 0.375
    # law: (.75 - .25) / .75; art lies below chance and counts as 0, not less.
    assert score.normalised == pytest.approx((2 / 3 + 0) / 2)
    assert score.stderr == pytest.approx(math.sqrt(0.24 / 4))
    assert score.chance == 0.25


def test_one_item_has_no_standard_error():
    assert scored(items(law=[1])).stderr is None


def test_the_macro_average_counts_tasks_and_not_items():
    both = {"a": scored(items("a", x=[1] * 99)), "b": scored(items("b", x=[0]))}
    assert aggregate.macro(both, ["a", "b"]) == 0.5
    assert aggregate.macro(both, ["a"]) == 1.0
    assert aggregate.spread(both, ["a", "b"]) == 0.5


def test_a_missing_task_leaves_no_macro_average():
    one = {"a": scored(items("a", x=[1]))}
    assert aggregate.macro(one, ["a", "b"]) is None
    assert aggregate.spread(one, ["a", "b"]) is None


@pytest.mark.parametrize(("score", "out"), [(0.25, 0.0), (0.1, 0.0), (1.0, 1.0), (0.625, 0.5)])
def test_chance_is_nothing_and_all_right_is_one(score, out):
    assert aggregate.normalised(score, 0.25) == out


def test_the_gap_needs_both_sides():
    train, test = scored(items("a", x=[1, 1])), scored(items("a", x=[1, 0]))
    both = {"train_questions": train, "test_questions": test}
    assert aggregate.generalisation_gap(both) == 0.5
    assert aggregate.generalisation_gap({"test_questions": test}) is None


def test_the_clean_score_leaves_out_what_training_held():
    rows = items(law=[1, 1, 0, 0])
    found = aggregate.cleaned(scored(rows), rows, {"law/0", "law/1", "art/9"})
    assert (found.tainted, found.clean, found.score) == (2, 0.0, 0.5)
    assert aggregate.cleaned(scored(rows), rows, set()).clean == 0.5


def test_nothing_clean_has_no_score_and_no_macro_average():
    rows = items(law=[1])
    found = aggregate.cleaned(scored(rows), rows, {"law/0"})
    assert (found.tainted, found.clean) == (1, None)
    assert aggregate.macro({"a": found}, ["a"], "clean") is None
