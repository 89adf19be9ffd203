"""Every degenerate case of a t test over seeds has a name, and never a star."""

import warnings

import numpy as np
import pytest
from scipy import stats

from kvdistill.stats.seed_tests import (
    DEGENERATE,
    IDENTICAL,
    MISSING,
    OK,
    SINGLE_SEED,
    format_stars,
    paired_t_test,
    welch_t_test,
)


def test_a_worked_example_by_hand():
    result = paired_t_test([0.01, 0.02, 0.03])
    assert result.estimate == pytest.approx(0.02)
    assert result.sd == pytest.approx(0.01)
    assert result.t == pytest.approx(0.02 / (0.01 / np.sqrt(3)))
    assert result.df == 2
    assert result.low == pytest.approx(0.02 - 4.302653 * 0.01 / np.sqrt(3), abs=1e-8)


@pytest.mark.parametrize("n", [2, 3, 5, 10])
def test_paired_t_agrees_with_scipy_to_ten_digits(n):
    rng = np.random.default_rng(n)
    for _ in range(50):
        a, b = rng.random(n), rng.random(n)
        theirs, ours = stats.ttest_rel(a, b), paired_t_test(a - b)
        interval = theirs.confidence_interval(0.95)
        assert ours.p == pytest.approx(theirs.pvalue, abs=1e-10)
        assert ours.t == pytest.approx(theirs.statistic, abs=1e-10 * abs(theirs.statistic) + 1e-10)
        assert (ours.low, ours.high) == pytest.approx(tuple(interval), abs=1e-10)


def test_welch_t_agrees_with_scipy_to_ten_digits():
    rng = np.random.default_rng(0)
    for _ in range(50):
        a, b = rng.random(3), rng.random(4)
        theirs, ours = stats.ttest_ind(a, b, equal_var=False), welch_t_test(a, b)
        assert ours.p == pytest.approx(theirs.pvalue, abs=1e-10)
        interval = theirs.confidence_interval(0.95)
        assert (ours.low, ours.high) == pytest.approx(tuple(interval), abs=1e-10)


@pytest.mark.parametrize(
    ("differences", "status"),
    [
        ([], MISSING),
        ([0.1], SINGLE_SEED),
        ([0.0, 0.0, 0.0], IDENTICAL),
        ([0.05, 0.05, 0.05], DEGENERATE),
        ([0.3 - 0.1, 0.4 - 0.2, 0.5 - 0.3], DEGENERATE),
    ],
)
def test_no_information_has_a_name_and_no_p_value(differences, status):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = paired_t_test(differences)
    assert result.status == status
    assert result.p is None
    assert result.low is None
    assert format_stars(result.p) == ""


def test_two_seeds_are_warned_about():
    result = paired_t_test([0.1, 0.2])
    assert result.status == OK
    assert "12.7" in result.note


def test_a_nan_is_an_error_of_the_caller_not_a_dropped_pair():
    with pytest.raises(ValueError, match="incomplete pair"):
        paired_t_test([0.1, float("nan"), 0.2])


@pytest.mark.parametrize(("a", "b"), [([0.5], [0.4, 0.3]), ([], [0.1])])
def test_unpaired_t_needs_two_runs_a_side(a, b):
    assert welch_t_test(a, b).p is None


def test_unpaired_t_of_constant_sides_is_named():
    assert welch_t_test([0.5, 0.5], [0.5, 0.5]).status == IDENTICAL
    assert welch_t_test([0.6, 0.6], [0.5, 0.5]).status == DEGENERATE


def test_swapping_arms_mirrors_the_interval():
    there, back = paired_t_test([0.01, 0.03, -0.01]), paired_t_test([-0.01, -0.03, 0.01])
    assert there.p == back.p
    assert (there.low, there.high) == (-back.high, -back.low)


@pytest.mark.parametrize(
    ("p", "text"),
    [(0.003, "***"), (0.01, "**"), (0.0499, "**"), (0.05, "*"), (0.1, ""), (1.0, ""), (None, "")],
)
def test_stars_are_the_studys(p, text):
    assert format_stars(p) == text
