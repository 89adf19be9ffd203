"""Power before a study: what a plan prints, against simulation with the report's interval."""

import numpy as np
import pytest

from kvdistill.stats.claims.power import (
    TARGET,
    Noise,
    compute_claim_power,
    compute_distance_needed,
    count_seeds_for_power,
    simulate_count_power,
)
from kvdistill.stats.combined_interval import combine_variances

SEVEN = np.array([1319, 500, 6511, 448, 817, 11582, 1346])
"""Items of the study's benchmarks."""
ITEMS = 1e4 * float((0.25 / SEVEN).sum()) / len(SEVEN) ** 2
STUDY = Noise(seed_sd=1.5 * 2**0.5, fixed_variance=ITEMS)


def simulate(distance: float, noise: Noise, seeds: int, repetitions: int = 2000) -> float:
    """Share of simulated studies whose interval lies beyond the bound."""
    rng = np.random.default_rng(seeds)
    hits = 0
    for _ in range(repetitions):
        each = rng.normal(distance, noise.seed_sd, size=seeds)
        shift = rng.normal(0, noise.fixed_variance**0.5)
        parts = [(float(each.var(ddof=1)) / seeds, seeds - 1)]
        interval = combine_variances(
            float(each.mean() + shift), parts, noise.fixed_variance**0.5, 1e6
        )
        hits += interval is not None and interval.low > 0
    return hits / repetitions


def test_a_bound_that_is_the_truth_is_met_as_often_as_chance_allows() -> None:
    """A claim of at least 3 at a true +3: two or three in a hundred, whatever the seeds."""
    for seeds in (3, 5, 10, 100):
        assert 0.015 <= compute_claim_power(0, STUDY, seeds) <= 0.026


@pytest.mark.parametrize(("truth", "power"), [(8, 0.575), (10, 0.80)])
def test_three_seeds_show_at_least_3_only_where_far_more_is_true(truth, power) -> None:
    assert compute_claim_power(truth - 3, STUDY, 3) == pytest.approx(power, abs=0.01)


@pytest.mark.parametrize(("distance", "seeds"), [(0, 3), (5, 3), (7, 3), (3, 5), (2, 10)])
def test_the_formula_is_what_the_reports_interval_does(distance, seeds) -> None:
    simulated = simulate(distance, STUDY, seeds)
    # Three standard errors of 2,000 repetitions.
    assert compute_claim_power(distance, STUDY, seeds) == pytest.approx(simulated, abs=0.034)


def test_the_truth_that_is_needed_and_the_seeds_that_are_reach_the_target() -> None:
    distance = compute_distance_needed(STUDY, 3)
    assert compute_claim_power(distance, STUDY, 3) == pytest.approx(TARGET, abs=1e-3)
    seeds = count_seeds_for_power(lambda n: compute_claim_power(2, STUDY, n))
    assert compute_claim_power(2, STUDY, seeds) >= TARGET
    assert compute_claim_power(2, STUDY, seeds - 1) < TARGET


def test_no_number_of_seeds_shows_what_the_items_hide() -> None:
    noise = Noise(seed_sd=1.0, fixed_variance=4.0)
    assert count_seeds_for_power(lambda n: compute_claim_power(1, noise, n)) is None


def test_two_seeds_show_nothing_and_an_untrained_pair_needs_none() -> None:
    assert compute_claim_power(100, STUDY, 2) == 0
    assert compute_distance_needed(STUDY, 2) is None
    references = Noise(seed_sd=0.0, fixed_variance=1.0)
    assert compute_claim_power(5, references, 1) > 0.99


def test_a_few_texts_cost_power_as_a_few_seeds_do() -> None:
    few, many = (Noise(seed_sd=0.01, fixed_variance=1e-4, fixed_df=df) for df in (9, 5000))
    assert compute_claim_power(0.05, few, 10) < compute_claim_power(0.05, many, 10)


def test_a_number_of_improved_tasks_is_shown_by_large_gains_alone() -> None:
    variances = 1e4 * 0.25 / SEVEN
    every = [simulate_count_power(np.full(7, g), STUDY, variances, 3, 5) for g in (0, 5, 20)]
    assert every[0] <= 0.05
    assert every[0] < every[1] < every[2]
    assert every[2] > 0.9
    assert simulate_count_power(np.full(7, 20.0), STUDY, variances, 2, 5) == 0
