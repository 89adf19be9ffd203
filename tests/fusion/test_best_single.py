"""One named teacher takes all."""

import pytest
import torch

from kvdistill.errors import ConfigError
from kvdistill.fusion.best_single import BestSingle


def test_the_named_teacher_is_the_target_and_no_other_fills_its_holes(build, scene):
    own, targets = scene()
    fused, weights = build(BestSingle, teacher="b")(own, targets, 0, 0.0)
    mask = targets[1].mask & own.mask
    assert torch.equal(fused.mask, mask)
    assert torch.equal(weights[1], mask.float())
    assert weights[[0, 2]].sum() == 0
    hidden = ~mask[:, None, :, None]
    assert torch.equal(fused.keys, targets[1].keys.masked_fill(hidden, 0))


@pytest.mark.parametrize("teacher", ["d", None])
def test_another_name_is_refused_with_the_names_there_are(build, teacher):
    with pytest.raises(ConfigError, match=rf"fusion\.teacher={teacher} .*: a, b, c"):
        build(BestSingle, teacher=teacher)
