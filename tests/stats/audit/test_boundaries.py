"""A design with several looks errs at alpha over all of them, whatever seeds each had."""

import numpy as np
import pytest
from scipy import special, stats

from kvdistill.stats.audit.boundaries import compute_look_levels, solve_levels, spend_alpha
from kvdistill.stats.settings import OBRIEN_FLEMING, POCOCK, SPENDING

PUBLISHED = {
    (OBRIEN_FLEMING, 2): (2.9626, 1.9686),
    (OBRIEN_FLEMING, 3): (3.7103, 2.5114, 1.9930),
    (OBRIEN_FLEMING, 5): (4.8769, 3.3569, 2.6803, 2.2898, 2.0310),
    (POCOCK, 5): (2.4380, 2.4268, 2.4101, 2.3966, 2.3859),
}
"""Two-sided 5 % at equal steps, as the programs of Lan & DeMets print them."""
LOOKS = [(3, 6), (5, 10), (3, 6, 10), (3, 4, 10), (3, 4, 5, 6), (3, 4, 5, 6, 7, 8, 9, 10)]


@pytest.mark.parametrize(("spending", "looks"), PUBLISHED)
def test_before_few_seeds_lower_them_the_levels_are_the_published_ones(spending, looks):
    seeds = tuple(range(10, 10 * looks + 1, 10))
    spent = tuple(spend_alpha(k / looks, 0.05, spending) for k in range(1, looks + 1))
    critical = stats.norm.isf(np.array(solve_levels(seeds, spent)) / 2)
    assert critical == pytest.approx(PUBLISHED[spending, looks], abs=2e-4)


def measure_error(seeds, levels, rng, repetitions=20_000):
    """Share of studies without an effect that some look calls one, by the t interval."""
    values = rng.standard_normal((repetitions, seeds[-1]))
    hits = np.zeros(repetitions, dtype=bool)
    for n, level in zip(seeds, levels, strict=True):
        seen = values[:, :n]
        t = seen.mean(1) / (seen.std(1, ddof=1) / np.sqrt(n))
        hits |= np.abs(t) > special.stdtrit(n - 1, 1 - level / 2)
    return hits.mean()


@pytest.mark.integration
@pytest.mark.parametrize("spending", SPENDING)
@pytest.mark.parametrize("seeds", LOOKS, ids=str)
def test_all_looks_together_err_at_alpha(seeds, spending):
    rng = np.random.default_rng(1)
    levels = compute_look_levels(len(seeds), seeds, 0.05, spending)
    assert measure_error(seeds, levels, rng) < 0.055
    assert measure_error(seeds, [0.05] * len(seeds), rng) > 0.08


def test_one_look_is_judged_at_alpha():
    assert compute_look_levels(1, [3], 0.05) == pytest.approx([0.05])


def test_what_a_look_may_spend_does_not_depend_on_those_to_come():
    assert compute_look_levels(3, [3], 0.05) == compute_look_levels(3, [3, 6, 10], 0.05)[:1]
    assert len(compute_look_levels(2, [3, 6, 10], 0.05)) == 2


@pytest.mark.parametrize("seeds", [(3, 3), (1, 2), (6, 3)])
def test_a_look_without_more_seeds_is_refused(seeds):
    with pytest.raises(ValueError, match="more seeds than the one before"):
        compute_look_levels(2, seeds, 0.05)
