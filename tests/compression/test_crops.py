"""The presses that look at positions alone: keep_last, keep_first, uniform and random."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kvdistill.compression.keep_first import KeepFirst
from kvdistill.compression.keep_last import KeepLast
from kvdistill.compression.random import Random
from kvdistill.compression.uniform import Uniform
from tests.compression.layers import kept, layer


def test_keep_last_keeps_each_texts_own_end():
    assert kept(KeepLast(keep=2), layer([3, 5])) == [[1, 2], [3, 4]]


def test_keep_first_keeps_the_beginning():
    assert kept(KeepFirst(keep=2), layer([3, 5])) == [[0, 1], [0, 1]]


def test_uniform_by_eye():
    assert kept(Uniform(keep=3), layer([9, 3, 2])) == [[2, 5, 8], [0, 1, 2], [0, 1]]


@settings(deadline=None, derandomize=True)
@given(n=st.integers(1, 60), m=st.integers(1, 60))
def test_uniform_leaves_gaps_that_differ_by_one_at_most(n, m):
    stay = kept(Uniform(keep=m), layer([n]))[0]
    gaps = torch.diff(torch.tensor([-1, *stay]))
    assert len(stay) == min(n, m)
    assert stay[-1] == n - 1
    assert gaps.max() - gaps.min() <= 1


def test_random_draws_evenly_over_texts():
    many = layer([40] * 1, seed=0)
    counts = torch.zeros(40)
    for seed in range(400):
        counts += Random(keep=10, seed=seed)([many])[0]
    # Each token is kept 100 times of 400 in expectation, with a standard deviation of 8.7.
    assert (counts - 100).abs().max() < 4.5 * 8.7


def test_random_differs_by_seed_and_by_text_but_not_by_call():
    one, other = layer([40], seed=0), layer([40], seed=1)
    draw = kept(Random(keep=0.5), one)
    assert draw == kept(Random(keep=0.5), one)
    assert draw != kept(Random(keep=0.5, seed=1), one)
    assert draw != kept(Random(keep=0.5), other)
