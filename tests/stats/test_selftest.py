"""The simulation that judges the intervals is itself right."""

import numpy as np
import pytest

from kvdistill.stats.selftest import (
    PROMISES,
    Simulation,
    judge_coverage,
    measure_coverage,
    run_selftest,
    simulate_once,
)


def make_simulation(**more):
    return Simulation(**({"sizes": (60, 40), "seeds": 3, "seed_sd": 0.6, "effect": 0.0} | more))


def test_every_method_is_measured_against_its_own_promise():
    assert set(simulate_once(make_simulation(), np.random.default_rng(0))) == set(PROMISES)


def test_two_seeds_have_no_recipe_interval():
    assert "recipe" not in simulate_once(make_simulation(seeds=2), np.random.default_rng(0))


def test_a_huge_effect_is_found_and_still_covered():
    rates = measure_coverage(make_simulation(effect=40.0, sizes=(200, 200)), 60)
    assert rates["item_bootstrap"]["excludes_zero"] == 1
    assert rates["item_bootstrap"]["coverage"] > 0.85
    assert rates["recipe"]["coverage"] > 0.85


def test_the_same_seed_gives_the_same_rates_and_another_another():
    assert measure_coverage(make_simulation(), 20, seed=0) == measure_coverage(
        make_simulation(), 20, seed=0
    )
    assert measure_coverage(make_simulation(), 40, seed=0) != measure_coverage(
        make_simulation(), 40, seed=1
    )


@pytest.mark.integration
def test_under_no_effect_errors_stay_near_nominal():
    rates = measure_coverage(make_simulation(sizes=(120,) * 7), 300)
    for name, rate in rates.items():
        assert rate["coverage"] > 0.93 - 0.035, name


@pytest.mark.parametrize(
    ("coverage", "word"), [(0.90, "misses"), (0.95, "sound"), (0.99, "conservative")]
)
def test_the_verdict_on_a_method(coverage, word):
    assert judge_coverage(coverage, 4000) == word


@pytest.mark.integration
def test_the_table_has_a_type_one_error_only_at_no_effect():
    rows = run_selftest([30, 20], 3, 100)["rows"]
    assert all((row["type_1"] is None) == (row["effect_points"] != 0) for row in rows)
