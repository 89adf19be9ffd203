"""Holm and Benjamini-Hochberg, with gaps."""

import numpy as np
import pytest
from scipy import stats

from kvdistill.stats.bootstrap import wilson_interval
from kvdistill.stats.multiple_testing import benjamini_hochberg, holm


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


def test_bh_agrees_with_scipy_to_ten_digits():
    rng = np.random.default_rng(0)
    for n in (1, 2, 5, 42):
        p = rng.random(n)
        assert benjamini_hochberg(list(p)) == pytest.approx(
            list(stats.false_discovery_control(p, method="bh")), abs=1e-10
        )


def test_holm_agrees_with_statsmodels():
    multitest = pytest.importorskip("statsmodels.stats.multitest", reason="statsmodels is absent")
    p = np.random.default_rng(1).random(12)
    assert holm(list(p)) == pytest.approx(
        list(multitest.multipletests(p, method="holm")[1]), abs=1e-10
    )


@pytest.mark.parametrize("adjust", [holm, benjamini_hochberg])
def test_a_gap_stays_a_gap_and_is_no_test(adjust):
    with_gap = adjust([0.02, None, 0.03, float("nan")])
    without = adjust([0.02, 0.03])
    assert with_gap == [without[0], None, without[1], None]
    assert adjust([]) == []
    assert adjust([None]) == [None]


@pytest.mark.parametrize("adjust", [holm, benjamini_hochberg])
def test_order_does_not_matter_and_nothing_gets_smaller(adjust):
    rng = np.random.default_rng(2)
    p = rng.random(20)
    order = rng.permutation(20)
    straight, shuffled = np.array(adjust(list(p))), np.array(adjust(list(p[order])))
    assert straight[order] == pytest.approx(shuffled)
    assert (straight >= p).all()
    assert (straight <= 1).all()


def test_what_is_no_probability_is_refused():
    with pytest.raises(ValueError, match="in \\[0, 1\\]"):
        holm([1.2])


def test_bh_wilson_and_mcnemar_agree_with_statsmodels():
    multitest = pytest.importorskip("statsmodels.stats.multitest", reason="statsmodels is absent")
    proportion = pytest.importorskip("statsmodels.stats.proportion")
    rng = np.random.default_rng(2)
    p = rng.random(30)
    assert benjamini_hochberg(list(p)) == pytest.approx(
        list(multitest.multipletests(p, method="fdr_bh")[1]), abs=1e-10
    )
    for n in (5, 198, 1319):
        right = int(rng.integers(0, n + 1))
        theirs = proportion.proportion_confint(right, n, method="wilson")
        assert wilson_interval(right, n) == pytest.approx(theirs, abs=1e-10)
