"""The power of a plan's claims: each by its own measure, with what is assumed."""

from pathlib import Path

import pytest

from kvdistill.config.schema import Estimate
from kvdistill.estimate.claim_power import list_claim_powers
from kvdistill.estimate.power_table import (
    describe_unreckoned,
    describe_weak_claims,
    tabulate_powers,
)
from kvdistill.plan.command_plan import Plan, PlannedRun
from kvdistill.plan.graph import Node
from kvdistill.plan.study_plan import Question

ESTIMATE = Estimate(
    peak_tflops={"cpu": 1.0}, memory_gib={"cpu": None}, kind="cpu", utilisation=0.5,
    memory_gb_s={"cpu": 1.0}, tokens_per_item=1, answer_tokens=1, decode_layer_ms={},
    answer_share=0.6,
    reserve_gib=4.0, disk_gb_s=4.0, overhead_s=0.0, seed_sd=1.5, disagreement=0.25,
    items={"gsm8k": 1319, "math500": 500, "bbh": 6511, "gpqa": 448, "truthfulqa": 817,
           "cmmlu": 11582, "ceval": 1346},
    effect=8.0, effect_percent=10.0, loss_sd=1.0, text_sd=15.0, time_sd=3.0,
)  # fmt: skip
CONFIG = {
    "trained": True,
    "teachers": {"a": {"name": "one"}, "b": {"name": "other"}},
    "tasks": {"name": "seven", "tasks": list(ESTIMATE.items), "limit": None},
    "train": {"eval_texts": 64},
    "style": {"templates": {"cot": {}, "direct": {}}},
    "stats": {"confidence": 0.95, "hypotheses": [], "criteria": []},
}
BASE = {"name": "F", "arm": "learnable", "baseline": "fixed"}


def list_powers(*claims, seeds=("42", "43", "44"), arms=("learnable", "fixed")):
    runs = {a: PlannedRun(Node("run", f"seed42-{a}", {}, {}), CONFIG, a, 1) for a in arms}
    question = Question(
        "?", {"hypotheses": list(claims)}, {a: dict.fromkeys(seeds, a) for a in arms}
    )
    plan = Plan(Path("root"), "s", runs, questions={"q": question}, config=CONFIG)
    return list_claim_powers(plan, ESTIMATE)


def test_the_studys_own_bound_is_hardly_ever_met_where_it_is_the_truth() -> None:
    (one,) = list_powers({**BASE, "at_least": 3})
    assert one.at_bound == pytest.approx(0.025, abs=0.005)
    assert (one.expected, one.seeds) == (8.0, 3)
    assert one.at_expected == pytest.approx(0.575, abs=0.01)
    assert one.needed == pytest.approx(9.98, abs=0.05)
    assert one.seeds_needed == 4
    (ten,) = list_powers({**BASE, "at_least": 3, "expected": 10})
    assert ten.at_expected == pytest.approx(0.80, abs=0.01)


def test_claims_that_are_judged_together_are_judged_more_strictly() -> None:
    alone, _, _ = list_powers(*[{**BASE, "at_least": 3}] * 3)
    assert alone.corrected < alone.at_expected
    (single,) = list_powers({**BASE, "at_least": 3})
    assert single.corrected == single.at_expected


def test_at_most_is_at_least_mirrored() -> None:
    up, down = list_powers({**BASE, "at_least": 2}, {**BASE, "at_most": -2})
    assert down.at_expected == pytest.approx(up.at_expected)
    assert down.needed == pytest.approx(-up.needed)
    assert down.expected == -8


@pytest.mark.parametrize("measure", ["kv", "ce", "efficiency.train_s"])
def test_a_measure_in_percent_is_reckoned_on_the_log_scale(measure) -> None:
    (one,) = list_powers({**BASE, "measure": measure, "at_most": 0.0})
    assert one.expected == -10
    assert 0.002 < one.at_bound < 0.026
    assert one.at_expected > 0.3
    assert -30 < one.needed < 0


def test_a_level_needs_its_expectation_stated() -> None:
    node = {"name": "G", "arm": "learnable", "measure": "gsm8k", "at_least": 75}
    silent, stated = list_powers(node, {**node, "expected": 82})
    assert silent.at_expected is None
    assert silent.needed > 75
    assert stated.at_expected > 0.5


def test_counted_tasks_are_simulated() -> None:
    (one,) = list_powers({**BASE, "measure": "tasks_improved", "at_least": 5})
    assert one.expected == 7
    assert one.at_bound <= one.at_expected


@pytest.mark.parametrize(
    ("claim", "note"),
    [
        ({"measure": "loss", "at_most": 0.0}, "described, not judged"),
        ({"measure": "routing", "at_most": 0.05}, "permutation test"),
        ({"measure": "efficiency.parameters", "at_most": 0.0}, "counted, not sampled"),
        ({"measure": "nano_logic", "at_least": 0.0}, "lacks nano_logic"),
        ({"arm": "elsewhere", "at_least": 0.0}, "not of this command"),
    ],
)
def test_what_is_not_reckoned_is_said(claim, note) -> None:
    powers = list_powers({**BASE, **claim})
    assert note in powers[0].note
    assert note in next(describe_unreckoned(powers))


def test_the_table_has_a_row_a_claim_and_weak_ones_are_named() -> None:
    powers = list_powers({**BASE, "at_least": 7.5}, {**BASE, "name": "G", "at_least": 0.0})
    assert tabulate_powers(powers).row_count == 2
    (sentence,) = describe_weak_claims(powers)
    assert sentence.startswith("1 of 2 claims would be missed more often than shown")
    assert "q: F." in sentence
