"""No balancing."""

import torch

from kvdistill.loss.constant import Constant


def test_the_factor_is_one():
    assert Constant()(torch.tensor(3.0), torch.tensor(7.0), [], 0) == 1
