"""The recipe-level claim: what is added, what is refused."""

import numpy as np
import pytest
from scipy import stats

from kvdistill.stats.bootstrap import make_stratum
from kvdistill.stats.combined_interval import (
    approximate_df,
    combine_variances,
    estimate_run_noise,
    separate_item_variance,
)


def test_without_item_noise_it_is_the_paired_t():
    pairs = np.array([0.01, 0.03, 0.02])
    ours = combine_variances(pairs.mean(), [(pairs.var(ddof=1) / 3, 2)], 0.0, 100.0)
    theirs = stats.ttest_1samp(pairs, 0)
    assert ours.p == pytest.approx(theirs.pvalue, abs=1e-10)
    assert ours.df == pytest.approx(2)


def test_variances_add_and_degrees_of_freedom_grow():
    combined = combine_variances(0.02, [(4e-4, 2)], 0.02, 1000.0)
    assert combined.se == pytest.approx(np.sqrt(8e-4))
    seeds, items = 1.5 * 4e-4, 4e-4
    satterthwaite = (seeds + items) ** 2 / (seeds**2 / 2 + items**2 / 1000)
    assert combined.df == pytest.approx(satterthwaite)
    assert combined.df < 8e-4**2 / (4e-4**2 / 2 + 4e-4**2 / 1000)  # what would err 8 %


def test_seeds_that_hardly_move_what_items_decide_cost_no_degrees_of_freedom():
    one = combine_variances(0.02, [(1e-6, 2)], 0.02, 1000.0)
    assert one.df > 900
    by_array = approximate_df([(np.array([1e-6, 4e-4]), 2)], np.array([4e-4, 4e-4]), 1000.0)
    assert by_array[0] == pytest.approx(one.df)


def test_run_noise_is_taken_out_of_the_items_and_clusters_stay_together():
    rng = np.random.default_rng(0)
    shared, noise = 0.3 * rng.standard_normal(4000), 0.5 * rng.standard_normal((3, 4000))
    runs = list(shared + noise)
    run_noise = estimate_run_noise(runs, None)
    assert run_noise == pytest.approx(0.25 / 4000, rel=0.05)
    strata = [make_stratum("t", sum(runs) / 3)]
    assert strata[0].variance == pytest.approx((0.09 + 0.25 / 3) / 4000, rel=0.1)
    assert separate_item_variance(strata, [run_noise / 3]) ** 2 == pytest.approx(
        0.09 / 4000, rel=0.1
    )
    assert estimate_run_noise(runs[:1], None) == 0.0
    subjects = np.arange(4000) // 100
    together = [np.repeat(rng.standard_normal(40), 100) for _ in range(3)]
    assert estimate_run_noise(together, subjects) == pytest.approx(1 / 40, rel=0.4)


def test_items_without_a_part_of_their_own_add_no_variance():
    strata = [make_stratum("t", np.array([0.0, 1.0, -1.0, 0.0]))]
    assert separate_item_variance(strata, [2 * strata[0].variance]) == 0.0


@pytest.mark.parametrize("parts", [[(1e-4, 1)], [(1e-4, 2), (1e-4, 1)], [(0.0, 2)]])
def test_two_seeds_or_no_seed_variance_make_no_claim(parts):
    assert combine_variances(0.02, parts, 0.01, 100.0) is None


@pytest.mark.parametrize(("seeds", "item_variance"), [(3, 0.1), (3, 0.3), (5, 0.1)])
def test_far_in_the_tail_it_errs_no_more_often_than_it_says(seeds, item_variance):
    """Where three claims are corrected together; the sum of variances alone errs twice that."""
    rng = np.random.default_rng(seeds)
    level, repetitions = 0.05 / 3, 4000
    means = np.sqrt(1 + item_variance) * rng.standard_normal(repetitions)
    parts = rng.chisquare(seeds - 1, repetitions) / (seeds - 1)
    p_values = [
        combine_variances(float(mean), [(float(part), seeds - 1)], item_variance**0.5, 1000.0).p
        for mean, part in zip(means, parts, strict=True)
    ]
    errors = np.mean(np.array(p_values) < level)
    assert errors < 1.2 * level + 2 * np.sqrt(level / repetitions)


def test_swapping_arms_mirrors_it():
    there, back = (combine_variances(sign * 0.02, [(1e-4, 2)], 0.01, 50.0) for sign in (1, -1))
    assert there.p == back.p
    assert there.low == -back.high
