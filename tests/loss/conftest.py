"""Random layers with padding."""

import pytest
import torch


@pytest.fixture
def layer():
    def make(seed=0, batch=3, heads=2, seq=6, dim=4):
        generator = torch.Generator().manual_seed(seed)
        own, target = (torch.randn(batch, heads, seq, dim, generator=generator) for _ in range(2))
        mask = torch.rand(batch, seq, generator=generator) < 0.7
        mask[:, 0] = True
        return own, target, mask

    return make
