"""Evenly spaced tokens."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kvdistill.compression.uniform import Uniform
from tests.compression.layers import layer, list_kept_tokens


def test_uniform_by_eye():
    assert list_kept_tokens(Uniform(keep=3), layer([9, 3, 2])) == [[2, 5, 8], [0, 1, 2], [0, 1]]


@settings(deadline=None, derandomize=True)
@given(n=st.integers(1, 60), m=st.integers(1, 60))
def test_uniform_leaves_gaps_that_differ_by_one_at_most(n, m):
    indices = list_kept_tokens(Uniform(keep=m), layer([n]))[0]
    gaps = torch.diff(torch.tensor([-1, *indices]))
    assert len(indices) == min(n, m)
    assert indices[-1] == n - 1
    assert gaps.max() - gaps.min() <= 1
