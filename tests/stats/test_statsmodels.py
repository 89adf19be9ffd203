"""What statsmodels computes too, to ten digits; agreement with scipy stands beside each method."""

import numpy as np
import pytest
from scipy import stats

from kvdistill.stats.bootstrap import mcnemar_mid_p
from kvdistill.stats.power import compute_power, minimum_detectable_effect
from kvdistill.stats.seed_tests import paired_t_test, welch_t_test

ABOUT = "statsmodels is absent"
RNG = np.random.default_rng(7)
PAIRS = [RNG.normal(0.02, 0.01, n) for n in (3, 5, 12)]


@pytest.mark.parametrize("pairs", PAIRS, ids=len)
def test_the_paired_t_and_its_interval(pairs):
    weightstats = pytest.importorskip("statsmodels.stats.weightstats", reason=ABOUT)
    theirs = weightstats.DescrStatsW(pairs)
    t, p, df = theirs.ttest_mean(0)
    ours = paired_t_test(pairs)
    assert (ours.t, ours.p, ours.df) == pytest.approx((t, p, df), abs=1e-10)
    assert (ours.low, ours.high) == pytest.approx(theirs.tconfint_mean(0.05), abs=1e-10)


@pytest.mark.parametrize("other", PAIRS, ids=len)
def test_the_unpaired_t_and_its_interval(other):
    weightstats = pytest.importorskip("statsmodels.stats.weightstats", reason=ABOUT)
    mine = PAIRS[0] + 0.01
    theirs = weightstats.CompareMeans.from_data(mine, other)
    t, p, df = theirs.ttest_ind(usevar="unequal")
    ours = welch_t_test(mine, other)
    assert (ours.t, ours.p, ours.df) == pytest.approx((t, p, df), abs=1e-10)
    interval = theirs.tconfint_diff(0.05, usevar="unequal")
    assert (ours.low, ours.high) == pytest.approx(interval, abs=1e-10)


@pytest.mark.parametrize("n", [3, 5, 20])
def test_power_and_what_it_can_detect(n):
    models = pytest.importorskip("statsmodels.stats.power", reason=ABOUT)
    theirs = models.TTestPower()
    se, df = float(1 / np.sqrt(n)), float(n - 1)
    for effect in (1.0, 2.0):
        # Ours leaves out the wrong side, which at these effects is below a billionth but for n=3.
        larger = theirs.power(effect, n, 0.025, alternative="larger")
        assert compute_power(effect, se, df) == pytest.approx(larger, abs=1e-10)
    effect = minimum_detectable_effect(se, df)
    assert theirs.power(effect, n, 0.025, alternative="larger") == pytest.approx(0.8, abs=1e-10)


@pytest.mark.parametrize(("wins", "losses"), [(3, 9), (0, 4), (11, 11), (40, 22)])
def test_mcnemars_mid_p_is_the_exact_one_less_half_of_what_was_seen(wins, losses):
    tables = pytest.importorskip("statsmodels.stats.contingency_tables", reason=ABOUT)
    exact = tables.mcnemar(np.array([[5, wins], [losses, 5]]), exact=True).pvalue
    a = np.repeat([1, 0, 1, 0], [wins, losses, 5, 5])
    b = np.repeat([0, 1, 1, 0], [wins, losses, 5, 5])
    seen = stats.binom.pmf(min(wins, losses), wins + losses, 0.5)
    expected = exact - seen if wins != losses else exact - seen / 2
    assert mcnemar_mid_p(a, b) == pytest.approx(expected, abs=1e-10)
