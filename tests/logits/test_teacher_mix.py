"""Which teacher counts how much at which token."""

import pytest
import torch

from kvdistill.errors import ConfigError
from kvdistill.logits.averaged import Averaged
from kvdistill.logits.mean_distance import MeanDistance
from kvdistill.logits.select import Select

COVERED = torch.tensor([[True, True, False, False], [True, False, True, False]])


@pytest.mark.parametrize("kind", [Averaged, MeanDistance])
def test_weights_are_the_stated_ones_else_the_fusions_else_uniform(kind):
    fused = torch.tensor([[0.8, 0.7, 0.6, 0.5], [0.2, 0.3, 0.4, 0.5]])
    stated = kind(teachers=["a", "b"], weights=[0.25, 0.75]).weigh_teachers(COVERED, None, fused)
    assert stated.tolist() == [[0.25, 1, 0, 0], [0.75, 0, 1, 0]]
    mix = kind(teachers=["a", "b"], weights=None)
    torch.testing.assert_close(
        mix.weigh_teachers(COVERED, None, fused),
        torch.tensor([[0.8, 1, 0, 0], [0.2, 0, 1, 0]]),
    )
    assert mix.weigh_teachers(COVERED, None, None).tolist() == [[0.5, 1, 0, 0], [0.5, 0, 1, 0]]


def test_a_token_that_no_fusion_weighs_has_uniform_weights():
    mix = Averaged(teachers=["a", "b"], weights=None)
    fused = torch.tensor([[0.0, 1.0], [0.0, 0.0]])
    weights = mix.weigh_teachers(torch.ones(2, 2, dtype=torch.bool), None, fused)
    assert weights.tolist() == [[0.5, 1], [0.5, 0]]


def test_the_teacher_of_lowest_cross_entropy_is_selected_text_by_text():
    ce = torch.tensor([[3.0, 3.0, 5.0, 5.0], [4.0, 4.0, 2.0, 2.0]])
    covered = torch.ones(2, 4, dtype=torch.bool)
    weights = Select(teachers=["a", "b"]).weigh_teachers(covered, ce, None)
    assert weights.tolist() == [[1, 1, 0, 0], [0, 0, 1, 1]]
    weights = Select(teachers=["a", "b"]).weigh_teachers(COVERED, ce, None)
    assert weights.tolist() == [[1, 1, 0, 0], [0, 0, 1, 0]]


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1.0], "has 1 weights for 2 teachers"),
        ([0.5, 0.6], "must sum to 1, not 1.1"),
        ([-0.5, 1.5], "must not be negative"),
    ],
)
def test_weights_that_are_none_are_refused(weights, message):
    with pytest.raises(ConfigError, match=message):
        Averaged(teachers=["a", "b"], weights=weights)
