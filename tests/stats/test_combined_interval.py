"""The recipe-level claim: what is added, what is refused."""

import numpy as np
import pytest
from scipy import stats

from kvdistill.stats.combined_interval import combine_variances


def test_without_item_noise_it_is_the_paired_t():
    pairs = np.array([0.01, 0.03, 0.02])
    ours = combine_variances(pairs.mean(), [(pairs.var(ddof=1) / 3, 2)], 0.0, 100.0)
    theirs = stats.ttest_1samp(pairs, 0)
    assert ours.p == pytest.approx(theirs.pvalue, abs=1e-10)
    assert ours.df == pytest.approx(2)


def test_variances_add_and_degrees_of_freedom_grow():
    combined = combine_variances(0.02, [(4e-4, 2)], 0.02, 1000.0)
    assert combined.se == pytest.approx(np.sqrt(8e-4))
    assert combined.df == pytest.approx((8e-4) ** 2 / ((4e-4) ** 2 / 2 + (4e-4) ** 2 / 1000))


@pytest.mark.parametrize("parts", [[(1e-4, 1)], [(1e-4, 2), (1e-4, 1)], [(0.0, 2)]])
def test_two_seeds_or_no_seed_variance_make_no_claim(parts):
    assert combine_variances(0.02, parts, 0.01, 100.0) is None


def test_swapping_arms_mirrors_it():
    there, back = (combine_variances(sign * 0.02, [(1e-4, 2)], 0.01, 50.0) for sign in (1, -1))
    assert there.p == back.p
    assert there.low == -back.high
