"""Tokens a second and MFU from what was counted."""

import pytest

from kvdistill.plan.flops import TokenLoad
from kvdistill.train.speed.speed_meter import AMOUNTS, SpeedMeter
from kvdistill.train.speed.step_clock import PARTS
from tests.train.conftest import make_batch

FLOPS = {"student": 600, "a": 200}
PEAK = 1e6


def make_amounts(**amounts: float) -> list[float]:
    return [float(amounts.get(name, 0)) for name in AMOUNTS]


def test_rates_are_of_all_the_time_and_seconds_of_one_step() -> None:
    meter = SpeedMeter(None, FLOPS, PEAK)
    speed = meter.describe_speed(
        make_amounts(student=3, rooms=1, steps=2, tokens=100, computed_tokens=200, flops=8e5,
                     computed_flops=1.6e6)
    )  # fmt: skip
    assert speed["step_s"] == 2
    assert speed["seconds"] == dict.fromkeys(PARTS, 0) | {"student": 1.5, "rooms": 0.5}
    assert (speed["tokens_per_s"], speed["real_share"]) == (25, 0.5)
    assert speed["mfu"] == pytest.approx(0.2)
    assert speed["mfu_computed"] == pytest.approx(0.4)


def test_without_a_peak_there_is_no_mfu_and_without_a_step_nothing() -> None:
    meter = SpeedMeter(None, FLOPS, None)
    speed = meter.describe_speed(make_amounts(student=1, steps=1, tokens=1, computed_tokens=1))
    assert speed["mfu"] is None
    assert speed["mfu_computed"] is None
    assert meter.describe_speed(make_amounts(student=1)) == {}


def test_padding_is_computed_and_counts_for_no_token() -> None:
    meter = SpeedMeter(None, FLOPS, PEAK)
    batch = make_batch(("a",), lengths=(4, 8), more=0)
    meter.count_batch(batch, micro_batches=2)
    loads = {"student": TokenLoad(12, 80), "a": TokenLoad(10, 60)}
    counted = dict(zip(AMOUNTS, meter.list_amounts(loads), strict=True))
    assert counted["steps"] == 0.5
    assert counted["computed_tokens"] == batch.student.ids.numel() > counted["tokens"] == 12
    assert counted["flops"] == 12 * 600 + 10 * 200
    padded = batch.teachers["a"].tokens.ids.numel()
    assert counted["computed_flops"] == batch.student.ids.numel() * 600 + padded * 200


def test_a_resumed_run_goes_on_in_the_line_that_it_was_in() -> None:
    whole = SpeedMeter(None, FLOPS, PEAK)
    batch, loads = make_batch(("a",), lengths=(4, 8), more=0), {"student": TokenLoad(12, 80)}
    whole.count_batch(batch, 1)
    whole.begin_line(whole.list_amounts(loads))
    whole.count_batch(batch, 1)
    resumed = SpeedMeter(None, FLOPS, PEAK)
    resumed.load_state(whole.save_state())
    steps = AMOUNTS.index("steps")
    for meter in (whole, resumed):
        meter.count_batch(batch, 1)
        assert meter.begin_line(meter.list_amounts(loads))[steps] == 2
