"""The bent residual."""

import pytest
import torch

from kvdistill.errors import ConfigError
from kvdistill.loss.mse import MSE
from kvdistill.loss.smooth_l1 import SmoothL1


def test_by_eye():
    # Residuals 0.5 and 3 with beta 1: (0.125 + 2.5) / 2.
    own, target = torch.tensor([[[[0.5, -3.0]]]]), torch.zeros(1, 1, 1, 2)
    value = SmoothL1(beta=1.0)(own, target, torch.tensor([[True]]), torch.tensor(1.0))
    assert value.tolist() == [1.3125]


def test_the_literal_loop(layer):
    own, target, mask = layer()
    beta, expected = 0.8, []
    for b in range(3):
        terms = []
        for h in range(2):
            for s in range(6):
                for d in range(4):
                    if mask[b, s]:
                        r = abs(float(own[b, h, s, d] - target[b, h, s, d])) / 0.7
                        terms.append(r * r / (2 * beta) if r < beta else r - beta / 2)
        expected.append(sum(terms) / len(terms))
    value = SmoothL1(beta=beta)(own, target, mask, torch.tensor(0.7))
    torch.testing.assert_close(value, torch.tensor(expected))


def test_within_beta_it_is_half_the_square_over_beta(layer):
    own, target, mask = layer()
    scale = torch.tensor(100.0)
    torch.testing.assert_close(
        SmoothL1(beta=2.0)(own, target, mask, scale), MSE()(own, target, mask, scale) / 4
    )


@pytest.mark.parametrize("beta", [0.0, -1.0])
def test_a_beta_that_is_not_positive_is_refused(beta):
    with pytest.raises(ConfigError, match=r"loss\.distance\.beta must be above 0"):
        SmoothL1(beta=beta)
