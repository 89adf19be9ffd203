"""A node with the types of a dataclass."""

import pytest

from kvdistill.config.schema import Budget
from kvdistill.config.structured import to_dataclass
from kvdistill.errors import ConfigError

NODE = {"total_tokens": 8, "batch_size": 1, "seq_len": 2, "num_gpus": 1, "grad_accum": 1}


def test_what_is_made_twice_is_equal_and_not_shared():
    one, other = (to_dataclass(Budget, dict(NODE), "budget") for _ in range(2))
    assert one == other
    assert one is not other


@pytest.mark.parametrize("alike", [True, 1.5, "x"])
def test_a_value_that_is_refused_is_refused_after_a_good_one_was_seen(alike):
    assert to_dataclass(Budget, NODE, "budget").batch_size == 1
    for _ in range(2):
        with pytest.raises(ConfigError, match=r"budget.batch_size"):
            to_dataclass(Budget, NODE | {"batch_size": alike}, "budget")
