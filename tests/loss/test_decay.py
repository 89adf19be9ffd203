"""A KV weight that falls."""

import pytest
import torch

from kvdistill.errors import ConfigError
from kvdistill.loss.decay import Decay

ANY = torch.tensor(3.0), torch.tensor(7.0), []


def test_it_falls_in_a_straight_line_to_its_floor_and_stays():
    balance = Decay(steps=4, floor=0.2)
    factors = [balance(*ANY, step).item() for step in (0, 1, 2, 4, 9)]
    assert factors == pytest.approx([1.0, 0.8, 0.6, 0.2, 0.2])
    assert balance.factor == balance(*ANY, 9)


def test_a_resumed_run_needs_no_memory_of_the_steps_before():
    assert Decay(steps=10, floor=0.0)(*ANY, 5) == 0.5


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"steps": 0, "floor": 0.0}, "loss.balance.steps must be at least 1 step, got 0"),
        ({"steps": 1, "floor": 1.5}, r"loss.balance.floor must be in \[0, 1\], got 1.5"),
        ({"steps": 1, "floor": -0.1}, r"loss.balance.floor must be in \[0, 1\], got -0.1"),
    ],
)
def test_what_cannot_be_is_refused(fields, message):
    with pytest.raises(ConfigError, match=message):
        Decay(**fields)
