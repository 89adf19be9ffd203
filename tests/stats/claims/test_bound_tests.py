"""p values against a claim's bound: the interval's end, and counts of tasks."""

import numpy as np
import pytest
from scipy import special

from kvdistill.stats.claims.bound_tests import (
    combine_partially,
    compute_bound_p,
    compute_count_p,
)


def test_the_p_is_the_level_at_which_the_interval_touches_the_bound():
    estimate, se, df = 4.0, 0.8, 3.0
    p = compute_bound_p(estimate, 3.0, [(se, df)])
    assert estimate - special.stdtrit(df, 1 - p / 2) * se == pytest.approx(3.0)


def test_percent_are_tested_as_log_ratios():
    p = compute_bound_p(-40.0, -30.0, [(0.05, 2.0)], is_percent=True)
    assert p == pytest.approx(2 * special.stdtr(2.0, np.log(0.6 / 0.7) / 0.05))
    assert compute_bound_p(-40.0, -100.0, [(0.05, 2.0)], is_percent=True) == 0.0
    assert compute_bound_p(1.0, 0.0, []) is None
    both = compute_bound_p(1.0, 0.0, [(0.1, 1000.0), (0.09, 2.0)])
    assert both == compute_bound_p(1.0, 0.0, [(0.09, 2.0)])  # the larger of both


def test_as_many_tasks_must_pass_as_the_claim_asks_for():
    p = [0.001, 0.002, 0.2, 0.9]
    assert combine_partially(p, 2) == pytest.approx(3 * 0.002)
    assert combine_partially(p, 1) == pytest.approx(2 * 0.002)  # Simes over all four
    assert combine_partially(p, 0) == 0.0
    assert combine_partially(p, 5) == 1.0


def test_a_count_is_tested_on_the_side_of_its_estimate():
    gains = [0.001, 0.001, 0.999, 0.999]
    # Supported: the second of four, and Simes over the second to the last.
    assert compute_count_p(gains, 2.0, 2.0, at_least=True) == pytest.approx(2 * 3 * 0.001)
    # Refuted: at least two of four do not gain, so that three or more cannot.
    assert compute_count_p(gains, 2.0, 3.0, at_least=True) == pytest.approx(2 * 3 * 0.001)
    assert compute_count_p(gains, 2.0, 2.0, at_least=False) == pytest.approx(2 * 3 * 0.001)
    assert compute_count_p(gains, 2.0, 1.0, at_least=False) == pytest.approx(2 * 3 * 0.001)


def test_claims_that_just_enough_tasks_gain_err_no_more_than_they_say():
    rng = np.random.default_rng(0)
    supported = 0
    for _ in range(2000):
        # Four of seven gain for certain; the claim of five needs one of three that do not.
        gains = [1e-9] * 4 + list(rng.random(3))
        improved = 4.0 + float(sum(p < 0.5 for p in gains[4:]))
        p = compute_count_p(gains, improved, 5.0, at_least=True)
        supported += improved >= 5 and p < 0.05
    assert supported / 2000 < 0.05
