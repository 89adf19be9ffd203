"""KeyDiff against cosines with the anchor in numpy."""

import numpy as np
import torch

from kvdistill.compression.key_diff import KeyDiff
from tests.compression.attention import to_numpy
from tests.compression.layers import layer, list_kept_tokens, make_text


def test_the_score_is_minus_the_cosine_with_the_mean_of_unit_keys():
    one = layer([25], 30, spread=0.5)
    keys = to_numpy(one.rotated_keys, 25)
    unit = keys / np.linalg.norm(keys, axis=2, keepdims=True)
    anchor = unit.mean(axis=1, keepdims=True)
    expected = -(unit * anchor).sum(axis=2) / np.linalg.norm(anchor, axis=2)
    score = KeyDiff().score_heads(one)[0, :, :25]
    torch.testing.assert_close(score, torch.tensor(expected).float())


def test_the_odd_one_out_stays_however_long_the_others_are():
    keys = torch.tensor([[[0.0, 50.0], [0.0, 1.0], [0.1, 0.0], [0.0, 9.0]]])
    assert list_kept_tokens(KeyDiff(keep=1), make_text(keys, keys)) == [[2]]
