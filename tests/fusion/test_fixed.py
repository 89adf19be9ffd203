"""Weights set beforehand."""

import pytest
import torch

from kvdistill.errors import ConfigError
from kvdistill.fusion.fixed import Fixed


def test_null_is_uniform_over_the_teachers_valid_at_a_token(build, scene):
    own, targets = scene()
    _, weights = build(Fixed, weights=None)(own, targets, 0, 0.0)
    valid = torch.stack([target.mask for target in targets]) & own.mask
    for b in range(2):
        for s in range(6):
            count = int(valid[:, b, s].sum())
            expected = valid[:, b, s] / max(count, 1)
            torch.testing.assert_close(weights[:, b, s], expected)


def test_given_weights_are_kept_where_all_are_valid_and_renormalised_elsewhere(build, scene):
    own, targets = scene(cover=1)
    fusion = build(Fixed, weights=[0.5, 0.3, 0.2])
    _, weights = fusion(own, targets, 0, 0.0)
    torch.testing.assert_close(weights[:, 0, 0], torch.tensor([0.5, 0.3, 0.2]))
    targets[0].mask[0, 0] = False
    _, weights = fusion(own, targets, 0, 0.0)
    torch.testing.assert_close(weights[:, 0, 0], torch.tensor([0.0, 0.6, 0.4]))


def test_a_token_that_only_a_teacher_of_no_weight_covers_is_masked(build, scene):
    own, targets = scene(teachers=2, cover=1)
    targets[0].mask[0, 0] = False
    fused, weights = build(Fixed, teachers=2, weights=[1.0, 0.0])(own, targets, 0, 0.0)
    assert weights[:, 0, 0].tolist() == [0, 0]
    assert not fused.mask[0, 0]
    assert fused.mask.sum() == own.mask.sum() - 1


def test_the_order_of_teachers_does_not_matter_to_permuted_weights(build, scene):
    own, targets = scene()
    fused, weights = build(Fixed, weights=[0.5, 0.3, 0.2])(own, targets, 0, 0.0)
    order = [2, 0, 1]
    moved, moved_weights = build(Fixed, weights=[0.2, 0.5, 0.3])(
        own, [targets[i] for i in order], 0, 0.0
    )
    torch.testing.assert_close(moved_weights, weights[order])
    torch.testing.assert_close(moved.keys, fused.keys)
    torch.testing.assert_close(moved.values, fused.values)
    assert torch.equal(moved.mask, fused.mask)


def test_thirds_written_by_hand_sum_to_one(build):
    build(Fixed, weights=[1 / 3, 1 / 3, 1 / 3])


@pytest.mark.parametrize("weights", [[0.5, 0.5], [1.0], [], [0.25] * 4])
def test_as_many_weights_as_teachers_are_required(build, weights):
    with pytest.raises(ConfigError, match=r"fusion\.weights=.* for 3 teachers \(a, b, c\)"):
        build(Fixed, weights=weights)


@pytest.mark.parametrize("weights", [[0.5, 0.5, 0.5], [0.5, 0.3, 0.1], [1.5, -0.5, 0.0]])
def test_weights_that_do_not_sum_to_one_or_are_negative_are_refused(build, weights):
    with pytest.raises(ConfigError, match=r"fusion\.weights=.* must sum to 1"):
        build(Fixed, weights=weights)
