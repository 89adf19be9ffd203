"""The random draw: even, reproducible, and a text's own."""

import torch

from kvdistill.compression.random import Random
from tests.compression.layers import layer, list_kept_tokens, select_tokens


def test_random_draws_evenly_over_texts():
    many = layer([40] * 1, seed=0)
    counts = torch.zeros(40)
    for seed in range(400):
        counts += select_tokens(Random(keep=10, seed=seed), many)[0]
    # Each token is kept 100 times of 400 in expectation, with a standard deviation of 8.7.
    assert (counts - 100).abs().max() < 4.5 * 8.7


def test_random_differs_by_seed_and_by_text_but_not_by_call():
    one, other = layer([40], seed=0), layer([40], seed=1)
    draw = list_kept_tokens(Random(keep=0.5), one)
    assert draw == list_kept_tokens(Random(keep=0.5), one)
    assert draw != list_kept_tokens(Random(keep=0.5, seed=1), one)
    assert draw != list_kept_tokens(Random(keep=0.5), other)
