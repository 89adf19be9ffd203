"""The item bootstrap: stratified, clustered, exact under swapping, blind to order."""

import itertools

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from kvdistill.stats.bootstrap import (
    bootstrap_interval,
    make_stratum,
    mcnemar_mid_p,
    standard_error,
    wilson_interval,
)


def differences(rng, n, seeds=3):
    return rng.integers(-seeds, seeds + 1, size=n) / seeds


def test_the_standard_error_is_the_textbook_one_without_subjects():
    values = differences(np.random.default_rng(0), 200)
    se, df = standard_error([make_stratum("t", values)])
    assert se == pytest.approx(values.std(ddof=1) / np.sqrt(200), rel=1e-12)
    assert df == pytest.approx(199)


def test_the_macro_standard_error_adds_tasks_with_equal_weight():
    rng = np.random.default_rng(1)
    a, b = differences(rng, 50), differences(rng, 500)
    se, _ = standard_error([make_stratum("a", a), make_stratum("b", b)])
    assert se**2 == pytest.approx((a.var(ddof=1) / 50 + b.var(ddof=1) / 500) / 4, rel=1e-12)


@pytest.mark.integration
def test_the_interval_matches_a_slow_bootstrap_over_items():
    rng = np.random.default_rng(2)
    values = [differences(rng, 80), differences(rng, 120) + 0.1]
    slow = np.array([np.mean([rng.choice(v, len(v)).mean() for v in values]) for _ in range(20000)])
    fast = bootstrap_interval([make_stratum(str(i), v) for i, v in enumerate(values)], draws=20000)
    low, high = np.quantile(slow, [0.025, 0.975])
    assert fast.estimate == pytest.approx(np.mean([v.mean() for v in values]))
    assert fast.low == pytest.approx(low, abs=0.006)
    assert fast.high == pytest.approx(high, abs=0.006)


def test_subjects_are_drawn_whole():
    rng = np.random.default_rng(3)
    subjects = np.repeat(np.arange(20), 10)
    values = np.repeat(rng.normal(size=20), 10)  # items of a subject say the same
    clustered, _ = standard_error([make_stratum("t", values, subjects)])
    naive, _ = standard_error([make_stratum("t", values)])
    assert clustered == pytest.approx(values[::10].std(ddof=1) / np.sqrt(20), rel=1e-9)
    assert clustered > 2.5 * naive


def test_singleton_subjects_change_nothing():
    values = differences(np.random.default_rng(4), 60)
    alone = bootstrap_interval([make_stratum("t", values)], draws=999)
    single = bootstrap_interval([make_stratum("t", values, np.arange(60))], draws=999)
    assert alone == single


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_swapping_arms_mirrors_the_interval_exactly(seed):
    rng = np.random.default_rng(seed)
    values, subjects = differences(rng, 40), rng.integers(0, 7, 40)
    # As many wins as losses are their own mirror image: there is no side to draw from.
    assume(sorted(values.round(9)) != sorted((-values).round(9)))
    for codes in (None, np.unique(subjects, return_inverse=True)[1]):
        there = bootstrap_interval([make_stratum("t", values, codes)], draws=999)
        back = bootstrap_interval([make_stratum("t", -values, codes)], draws=999)
        assert (there.low, there.high, there.p) == pytest.approx(
            (-back.high, -back.low, back.p), abs=1e-12
        )


def test_the_order_of_items_cannot_matter():
    rng = np.random.default_rng(5)
    values = differences(rng, 70)
    shuffled = rng.permutation(values)
    there, back = (bootstrap_interval([make_stratum("t", v)]) for v in (values, shuffled))
    assert (there.low, there.high) == (back.low, back.high)


def test_seed_zero_is_a_seed_and_differs_from_one():
    values = [make_stratum("t", differences(np.random.default_rng(6), 70))]
    zero, again, one = (bootstrap_interval(values, seed=s) for s in (0, 0, 1))
    assert zero == again
    assert zero.low != one.low


def test_no_variance_has_no_p_value():
    degenerate = bootstrap_interval([make_stratum("t", np.zeros(30))])
    assert (degenerate.low, degenerate.high, degenerate.p) == (0, 0, None)


def test_wilson_keeps_width_at_none_of_198():
    low, high = wilson_interval(0, 198)
    assert low == 0
    assert high == pytest.approx(0.019, abs=5e-4)


def test_wilson_agrees_with_the_formula():
    z = stats.norm.ppf(0.975)
    p, n = 0.3, 50
    middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    assert wilson_interval(15, 50) == pytest.approx((middle - half, middle + half), abs=1e-10)


def test_wilson_refuses_more_right_than_items():
    with pytest.raises(ValueError, match="in \\[0, n\\]"):
        wilson_interval(6, 5)


def test_mcnemar_mid_p_by_counting_every_sign():
    a = np.array([1, 1, 1, 1, 0, 1, 0])
    b = np.array([0, 0, 0, 0, 1, 1, 0])
    wins = [sum(signs) for signs in itertools.product([0, 1], repeat=5)]
    mid = 2 * (sum(w < 1 for w in wins) + 0.5 * sum(w == 1 for w in wins)) / len(wins)
    assert mcnemar_mid_p(a, b) == pytest.approx(mid)


def test_mcnemar_without_discordant_items_is_one():
    same = np.array([1.0, 0.0, 1.0])
    assert mcnemar_mid_p(same, same) == 1.0


def test_mcnemar_refuses_a_probability_mass():
    with pytest.raises(ValueError, match="right \\(1\\) or wrong"):
        mcnemar_mid_p(np.array([0.3]), np.array([1.0]))
