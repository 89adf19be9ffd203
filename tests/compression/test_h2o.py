"""H2O against accumulated attention in numpy."""

import numpy as np
import pytest
import torch

from kvdistill.compression.h2o import H2O
from kvdistill.errors import ConfigError
from tests.compression.attention import attend, to_numpy
from tests.compression.layers import GROUP, HEADS, layer, list_kept_tokens


@pytest.mark.parametrize("recent", [0.0, 0.5, 1.0])
def test_heavy_hitters_are_those_of_the_accumulated_attention(recent):
    one, keep = layer([30], 34), 12
    weights = attend(*(to_numpy(x, 30) for x in (one.rotated_queries, one.rotated_keys)))
    attended = weights.sum(axis=1).reshape(HEADS, GROUP, -1).mean(axis=1)
    last = round(keep * recent)
    kept = list_kept_tokens(H2O(keep=keep, recent=recent, heads="own"), one)[0]
    for head in range(HEADS):
        best = np.argsort(-attended[head, : 30 - last])[: keep - last]
        assert kept[head] == sorted([*best.tolist(), *range(30 - last, 30)])
    score = H2O(keep=keep, recent=recent).score_heads(one)[0, :, : 30 - last]
    torch.testing.assert_close(score, torch.tensor(attended[:, : 30 - last] / 30).float())


@pytest.mark.parametrize("recent", [-0.1, 1.5])
def test_a_share_that_cannot_be_is_refused(recent):
    with pytest.raises(ConfigError, match=rf"compression\.recent is {recent} but must be in"):
        H2O(recent=recent)
