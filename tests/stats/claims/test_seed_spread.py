"""Claims on the SD over seeds: a test that holds under outliers, and its interval."""

import numpy as np
import pytest
from scipy import stats

from kvdistill.stats.claims.seed_spread import (
    compare_spreads,
    drop_structural_zeros,
    solve_fieller,
)


def draw(rng, tails, shape):
    if tails == "t3":
        return rng.standard_t(3, shape)
    wide = rng.random(shape) < (0.1 if tails == "outliers" else 0)
    return rng.standard_normal(shape) * np.where(wide, 3, 1)


@pytest.mark.integration
@pytest.mark.parametrize("tails", ["normal", "t3", "outliers"])
@pytest.mark.parametrize("seeds", [3, 4, 5, 10])
def test_equal_spreads_are_rarely_called_different_whatever_the_tails(tails, seeds):
    rng = np.random.default_rng(0)
    x, y = draw(rng, tails, (2, 1500, seeds))
    p = [compare_spreads(a, b).p for a, b in zip(x, y, strict=True)]
    assert np.mean(np.array(p) < 0.05) < 0.07 + 2 * np.sqrt(0.07 * 0.93 / 1500)


def test_the_bound_scales_the_arm_and_swapping_arms_inverts_the_interval():
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((2, 10))
    one, same = compare_spreads(x, y, 1.0), compare_spreads(3 * x, y, 3.0)
    assert same.p == pytest.approx(one.p)
    assert same.low == pytest.approx(3 * one.low)
    back = compare_spreads(y, x)
    assert (one.low, one.high) == pytest.approx((1 / back.high, 1 / back.low))


@pytest.mark.integration
def test_the_interval_holds_what_the_test_does_not_reject():
    rng = np.random.default_rng(2)
    for seeds in (3, 5, 10) * 10:
        x, y = rng.standard_normal((2, seeds))
        one = compare_spreads(x, y)
        a, b = drop_structural_zeros(x), drop_structural_zeros(y)
        for bound in np.exp(np.linspace(-3, 3, 25)):
            p = stats.ttest_ind(a / bound, b).pvalue
            inside = one.low <= bound and (one.high is None or bound <= one.high)
            assert inside == (p >= 0.05)


def test_a_tenfold_spread_is_found_with_ten_seeds():
    x = np.arange(10.0)
    assert compare_spreads(10 * x, x).p < 0.001
    assert compare_spreads(10 * x, x).low > 1


def test_an_outlier_that_turns_the_sign_claims_nothing():
    steady = np.arange(10.0)
    outlier = np.array([0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 20.0])
    one = compare_spreads(outlier, steady)
    assert one.ratio > 1
    assert np.mean(drop_structural_zeros(outlier)) < np.mean(drop_structural_zeros(steady))
    assert one.p == 1.0


@pytest.mark.parametrize(
    ("x", "y"),
    [
        ([1.0, 2.0], [1.0, 3.0]),
        ([1.0, 2.0, 4.0], [1.0, 2.0, 4.0, 5.0]),
        ([1.0] * 3, [1.0, 2.0, 4.0]),
    ],
)
def test_too_few_seeds_unequal_numbers_or_no_spread_have_no_test(x, y):
    assert compare_spreads(x, y) is None


def test_the_zero_that_is_there_by_construction_is_left_out():
    assert list(drop_structural_zeros(np.array([5.0, 1.0, 2.0]))) == [1.0, 3.0]
    assert drop_structural_zeros(np.array([0.0, 1.0, 2.0, 5.0])) == pytest.approx(
        [1.5, 0.5 * np.sqrt(2), 3.5]
    )


def test_without_information_every_ratio_is_possible():
    assert solve_fieller(1.0, 1.0, (10.0, 10.0), 2.0) == (0.0, None)
