"""Keys are left alone."""

import torch

from kvdistill.models.attention.rotary import Rotary
from kvdistill.position.none import Unrotated


def test_every_key_stays_as_captured():
    keys, positions, rotary = torch.ones(1, 1, 2, 4), torch.tensor([[0, 1]]), Rotary(torch.ones(2))
    for place in ("rotate_captured_keys", "rotate_target_keys", "rotate_student_keys"):
        assert getattr(Unrotated(), place)(keys, rotary, positions) is keys
