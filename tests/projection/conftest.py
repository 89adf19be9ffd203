"""Geometries of a student and a teacher, and calibration data with a known map between them."""

import pytest
import torch

from kvdistill.geometry import Geometry
from kvdistill.kv.moments import Moments
from kvdistill.layers.base import LayerPair
from kvdistill.types import KV

SOURCES = [LayerPair(0, 0, 0, 0.0), LayerPair(1, 2, 3, 0.25)]
PAIRS = [(0, 0), (1, 2), (1, 3)]


@pytest.fixture
def geometry():
    def make(kv_heads=2, head_dim=4):
        return Geometry(
            layers=4, hidden_size=32, intermediate_size=64, heads=8, kv_heads=kv_heads,
            head_dim=head_dim, vocab_size=99,
        )  # fmt: skip

    return make


@pytest.fixture
def sources():
    return SOURCES


@pytest.fixture
def pairs():
    return PAIRS


@pytest.fixture
def rows():
    """Rows of (teacher, student) with y = x W + noise, of the same W for the same `law`."""

    def make(teacher=12, student=8, count=400, law=0, seed=0, noise=0.1):
        w = torch.randn(teacher, student, generator=torch.Generator().manual_seed(law))
        generator = torch.Generator().manual_seed(1000 + seed)
        x = torch.randn(count, teacher, generator=generator)
        return x, x @ w + noise * torch.randn(count, student, generator=generator)

    return make


@pytest.fixture
def moments(rows):
    """The (keys, values) moments of every pair, each with a law of its own."""

    def make(teacher=12, student=8, noise=0.1, count=400):
        seen = {}
        for i, pair in enumerate(PAIRS):
            both = []
            for law in (2 * i, 2 * i + 1):
                part = Moments.empty(teacher, student)
                part.add(*rows(teacher, student, count=count, law=law, noise=noise))
                both.append(part)
            seen[pair] = tuple(both)
        return seen

    return make


@pytest.fixture
def layer():
    """Random K and V with padding; what lies under the mask is `fill`."""

    def make(heads=3, dim=4, batch=2, seq=5, seed=0, fill=torch.nan, dtype=torch.float32):
        generator = torch.Generator().manual_seed(seed)
        mask = torch.ones(batch, seq, dtype=torch.bool)
        mask[0, 3:] = False
        keys, values = (
            torch.randn(batch, heads, seq, dim, generator=generator)
            .masked_fill(~mask[:, None, :, None], fill)
            .to(dtype)
            for _ in range(2)
        )
        return KV(keys, values, mask)

    return make
