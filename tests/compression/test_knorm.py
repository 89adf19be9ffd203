"""Knorm against norms in numpy."""

import numpy as np
import torch

from kvdistill.compression.knorm import Knorm
from tests.compression.attention import to_numpy
from tests.compression.layers import layer, list_kept_tokens, make_text


def test_the_score_is_minus_the_norm_of_the_key():
    one = layer([25], 30)
    expected = -np.linalg.norm(to_numpy(one.kv.keys, 25), axis=2)
    score = Knorm().score_heads(one)[0, :, :25]
    torch.testing.assert_close(score, torch.tensor(expected).float())


def test_the_shortest_keys_stay():
    keys = torch.tensor([[[3.0, 0.0], [0.0, 1.0], [2.0, 0.0], [0.0, 9.0]]])
    assert list_kept_tokens(Knorm(keep=2), make_text(keys, keys)) == [[1, 2]]


def test_keys_of_half_precision_do_not_tie():
    keys = torch.linspace(100, 100.9, 40).bfloat16().view(1, 20, 2)
    scores = Knorm().score_heads(make_text(keys, keys))
    assert scores.dtype == torch.float32
