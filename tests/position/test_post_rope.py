"""Keys as each model's cache holds them."""

import torch

from kvdistill.models.attention.rotary import Rotary
from kvdistill.position.post_rope import PostRope


def test_each_side_turns_by_its_own_rotary_and_the_target_no_second_time():
    keys, at = torch.ones(1, 1, 2, 4), torch.tensor([[3, 4]])
    teacher, student = Rotary(torch.tensor([1.0, 0.1]), 1.2), Rotary(torch.tensor([0.5, 0.05]))
    position = PostRope()
    assert torch.equal(position.rotate_captured_keys(keys, teacher, at), teacher.rotate(keys, at))
    assert torch.equal(position.rotate_captured_keys(keys, student, at), student.rotate(keys, at))
    assert position.rotate_target_keys(keys, student, at) is keys
    assert position.rotate_student_keys(keys, student, at) is keys


def test_a_text_read_in_more_tokens_no_longer_matches():
    # The same frequencies and keys, but one side counts 10 % more tokens.
    rotary = Rotary(1e6 ** -(torch.arange(64) / 64))
    keys = torch.randn(1, 4, 4096, 128, generator=torch.Generator().manual_seed(0))
    at, position = torch.arange(4096)[None], PostRope()
    more = position.rotate_captured_keys(keys, rotary, (at * 1.1).round().long())
    assert (
        torch.cosine_similarity(
            more, position.rotate_captured_keys(keys, rotary, at), dim=-1
        ).mean()
        < 0.65
    )
