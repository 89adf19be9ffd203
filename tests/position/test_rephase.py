"""The target's phase against the student's: equal at a factor of 1, stretched otherwise."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kvdistill.errors import ConfigError
from kvdistill.models.attention.rotary import Rotary
from kvdistill.position.rephase import Rephase


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


POSITIONS = torch.arange(6).expand(2, 6)


@settings(deadline=None, derandomize=True)
@given(scaling=st.floats(0.5, 2.0), half=st.integers(1, 4), seed=st.integers(0, 99))
def test_at_a_factor_of_1_mse_is_that_of_unrotated_keys(scaling, half, seed):
    own, target = random(2, 2, 6, 8, seed=seed), random(2, 2, 6, 8, seed=seed + 100)
    rotary, same = Rotary(torch.linspace(0.1, 1, half), scaling), Rephase(rope_scaling_factor=1.0)
    residual = same.rotate_target_keys(target, rotary, POSITIONS) - same.rotate_student_keys(
        own, rotary, POSITIONS
    )
    torch.testing.assert_close(residual.square().mean((1, 3)), (target - own).square().mean((1, 3)))


def test_a_factor_turns_the_target_as_far_as_the_students_key_so_much_later():
    keys, rotary = random(1, 1, 3, 8), Rotary(torch.tensor([1.0, 0.5, 0.1, 0.01]))
    at = torch.tensor([[1, 2, 3]])
    stretched = Rephase(rope_scaling_factor=2.5).rotate_target_keys(keys, rotary, at)
    torch.testing.assert_close(stretched, rotary.rotate(keys, at * 2.5))
    assert not torch.allclose(stretched, Rephase().rotate_target_keys(keys, rotary, at))


def test_teacher_keys_are_not_turned_before_alignment():
    keys = random(1, 1, 3, 8)
    assert (
        Rephase().rotate_captured_keys(keys, Rotary(torch.ones(4)), torch.tensor([[0, 1, 2]]))
        is keys
    )


@pytest.mark.parametrize("factor", [0.0, -1.0, float("nan")])
def test_a_factor_that_is_not_positive_is_refused(factor):
    with pytest.raises(ConfigError, match=r"position\.rope_scaling_factor is .* must be positive"):
        Rephase(rope_scaling_factor=factor)
