"""Detectable effects, seeds needed, effect sizes."""

import numpy as np
import pytest
from scipy import stats

from kvdistill.stats.combined_interval import combine_variances
from kvdistill.stats.power import (
    compute_power,
    count_items_needed,
    count_seeds_needed,
    hedges_correction,
    hedges_g,
    minimum_detectable_effect,
    probability_of_improvement,
)


def test_three_seeds_detect_326_hundredths_of_a_standard_deviation():
    assert minimum_detectable_effect(1 / np.sqrt(3), 2.0) == pytest.approx(3.26, abs=0.01)


def test_many_items_detect_280_hundredths_of_a_standard_error():
    assert minimum_detectable_effect(1.0, 1e9) == pytest.approx(2.80, abs=0.005)


def test_power_at_no_effect_is_the_error_rate_of_one_side():
    assert compute_power(0.0, 1.0, 2.0) == pytest.approx(0.025)


def test_power_is_what_a_simulation_finds():
    rng = np.random.default_rng(0)
    draws = rng.normal(0.05, 0.02, size=(20000, 3))
    p = stats.ttest_1samp(draws, 0, axis=1)
    share = ((p.pvalue < 0.05) & (p.statistic > 0)).mean()
    assert compute_power(0.05, 0.02 / np.sqrt(3), 2.0) == pytest.approx(share, abs=0.012)


def test_seeds_needed_is_the_smallest_number_with_the_power():
    n = count_seeds_needed(0.01, 0.01, 0.0)
    se = [0.01 / np.sqrt(k) for k in (n - 1, n)]
    assert compute_power(0.01, se[0], n - 2.0) < 0.8 <= compute_power(0.01, se[1], n - 1.0)


def test_noisy_items_cannot_be_mended_by_seeds_and_it_says_by_how_many_items():
    assert count_seeds_needed(0.01, 0.001, 0.01) is None
    factor = count_items_needed(0.01, 0.01)
    assert factor == pytest.approx(2.8016**2, rel=1e-3)
    assert count_seeds_needed(0.01, 0.001, 0.01 / (1.05 * factor) ** 0.5) is not None
    assert count_items_needed(0.01, 0.001) == 1.0


def test_the_seeds_named_find_the_effect_in_about_eight_of_ten_studies():
    rng = np.random.default_rng(1)
    effect, seed_sd, item_se, runs = 0.03, 0.03, 0.006, 4000
    n = count_seeds_needed(effect, seed_sd, item_se)
    pairs = effect + seed_sd * rng.standard_normal((runs, n))
    pairs += item_se * rng.standard_normal((runs, 1))
    intervals = [
        combine_variances(one.mean(), [(one.var(ddof=1) / n, n - 1)], item_se, 2000.0)
        for one in pairs
    ]
    assert 0.77 < np.mean([one.low > 0 for one in intervals]) < 0.9


@pytest.mark.parametrize(("n", "j"), [(3, 0.5642), (4, 0.7236), (10, 0.9139)])
def test_hedges_factor_is_exact(n, j):
    assert hedges_correction(n) == pytest.approx(j, abs=5e-5)


def test_effect_size_by_hand_and_its_refusals():
    assert hedges_g([0.01, 0.02, 0.03]) == pytest.approx(2 * hedges_correction(3))
    assert hedges_g([0.01, 0.02]) is None
    assert hedges_g([0.01, 0.01, 0.01]) is None
    with pytest.raises(ValueError, match="2 differences"):
        hedges_correction(1)


def test_probability_of_improvement_counts_pairs():
    assert probability_of_improvement([3.0, 1.0], [2.0, 1.0]) == pytest.approx(
        (1 + 1 + 0 + 0.5) / 4
    )
