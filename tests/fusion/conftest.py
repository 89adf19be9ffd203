"""A student's layer and targets of several teachers, with holes in their cover."""

import pytest
import torch

from kvdistill.geometry import Geometry
from kvdistill.types import KV


@pytest.fixture
def student():
    return Geometry(
        layers=4, hidden_size=32, intermediate_size=64, heads=4, kv_heads=2, head_dim=4,
        vocab_size=99,
    )  # fmt: skip


@pytest.fixture
def scene():
    """Makes (own, targets); what lies under a mask is NaN."""

    def make(teachers=3, seed=0, batch=2, seq=6, cover=0.7, dtype=torch.float32):
        generator = torch.Generator().manual_seed(seed)

        def kv(share):
            mask = torch.rand(batch, seq, generator=generator) < share
            keys, values = (
                torch.randn(batch, 2, seq, 4, generator=generator, dtype=dtype) for _ in range(2)
            )
            hidden = ~mask[:, None, :, None]
            return KV(
                keys.masked_fill(hidden, torch.nan), values.masked_fill(hidden, torch.nan), mask
            )

        return kv(cover), [kv(cover) for _ in range(teachers)]

    return make


@pytest.fixture
def build(student):
    """Builds a fusion for teachers a, b, c, ..."""

    def make(kind, teachers=3, **fields):
        return kind(student=student, teachers=list("abcd")[:teachers], layers=[0, 2], **fields)

    return make


@pytest.fixture
def competence():
    """Makes a Competence of `scene`'s texts: a list of (ce, answer tokens) a teacher and text."""
    from kvdistill.fusion.competence import Competence

    def make(texts, seq=6, tokens=None):
        ce, count = (torch.tensor([[text[i] for text in row] for row in texts]) for i in (0, 1))
        ce, count = ce.float(), count.float()
        blank = torch.zeros(*ce.shape, seq)
        token_ce = blank if tokens is None else tokens.nan_to_num(0)
        mask = torch.zeros_like(blank, dtype=torch.bool) if tokens is None else ~tokens.isnan()
        return Competence(
            ce=ce, entropy=2 * ce, max_log_prob=-3 * ce, token_ce=token_ce,
            token_entropy=2 * token_ce, token_max_log_prob=-3 * token_ce, token_mask=mask,
            answer_tokens=count,
        )  # fmt: skip

    return make
