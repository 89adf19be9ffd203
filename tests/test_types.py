"""A batch of links: applied without a dense matrix, and mapped to the rows of kept tokens."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kvdistill.types import Links

BATCH, STUDENT, TEACHER, WIDTH = 2, 4, 5, 6


def links(dense):
    """The sparse form of (batch, student, teacher) weights."""
    filled = dense.flatten(0, 1) > 0
    counts = filled.sum(1)
    row, column = filled.nonzero(as_tuple=True)
    return Links(
        teacher_rows=row // STUDENT * TEACHER + column,
        weight=dense.flatten(0, 1)[filled],
        offsets=counts.cumsum(0) - counts,
        student_seq=STUDENT,
        teacher_seq=TEACHER,
    )


def draw(seed, share=0.5):
    generator = torch.Generator().manual_seed(seed)
    dense = torch.rand(BATCH, STUDENT, TEACHER, generator=generator)
    dense = dense * (torch.rand(dense.shape, generator=generator) < share)
    dense = dense / dense.sum(-1, keepdim=True).clamp(min=1e-9)
    x = torch.randn(BATCH * TEACHER, WIDTH, generator=generator)
    return dense, x, torch.rand(BATCH, TEACHER, generator=generator) < 0.6


seeds = given(seed=st.integers(0, 9999), share=st.sampled_from([0.0, 0.2, 0.5, 1.0]))


def by_matrix(dense, x):
    return dense @ x.view(BATCH, TEACHER, WIDTH)


def rows_of(kept):
    """As they lie."""
    return torch.where(kept, torch.arange(BATCH * TEACHER).view(BATCH, TEACHER), -1)


@settings(deadline=None, derandomize=True)
@seeds
def test_applying_links_is_multiplying_by_their_matrix(seed, share):
    dense, x, _ = draw(seed, share)
    torch.testing.assert_close(links(dense).apply(x), by_matrix(dense, x))
    assert torch.equal(links(dense).mask, dense.sum(-1) > 0)


@settings(deadline=None, derandomize=True)
@seeds
def test_kept_tokens_share_a_row_anew_and_a_row_without_any_is_masked(seed, share):
    dense, x, kept = draw(seed, share)
    left = dense * kept[:, None]
    left = left / left.sum(-1, keepdim=True).clamp(min=1e-9)
    mapped = links(dense).map_to_rows(rows_of(kept))
    torch.testing.assert_close(mapped.apply(x), by_matrix(left, x))
    assert torch.equal(mapped.mask, left.sum(-1) > 0)


@settings(deadline=None, derandomize=True)
@seeds
def test_by_row_rows_give_what_they_give_where_they_lie(seed, share):
    dense, x, kept = draw(seed, share)
    order = torch.randperm(BATCH * TEACHER, generator=torch.Generator().manual_seed(seed))
    order = order[kept.flatten()[order]]
    rows = torch.full((BATCH * TEACHER,), -1)
    rows[order] = torch.arange(len(order))
    by_row = links(dense).map_to_rows(rows.view(BATCH, TEACHER))
    where = links(dense).map_to_rows(rows_of(kept))
    assert torch.equal(by_row.apply(x[order]), where.apply(x))


def test_keeping_every_token_changes_nothing():
    dense, _, _ = draw(0)
    whole = links(dense)
    same = whole.map_to_rows(rows_of(torch.ones(BATCH, TEACHER, dtype=torch.bool)))
    assert torch.equal(same.teacher_rows, whole.teacher_rows)
    assert same.weight is whole.weight
    assert same.offsets is whole.offsets


def test_nan_under_a_token_without_links_changes_nothing():
    dense, x, kept = draw(1)
    mapped = links(dense).map_to_rows(rows_of(kept))
    spoilt = x.masked_fill(~kept.view(-1, 1), float("nan"))
    assert torch.equal(mapped.apply(spoilt), mapped.apply(x))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_applied_as_such(dtype):
    dense, x, _ = draw(2)
    applied = links(dense).apply(x.to(dtype))
    assert applied.dtype == dtype
    torch.testing.assert_close(applied.float(), by_matrix(dense, x), atol=0.03, rtol=0.03)


def test_a_gradient_flows_through_the_weights_to_the_teachers_rows():
    dense, x, _ = draw(3)
    x.requires_grad_()
    links(dense).apply(x).sum().backward()
    expected = dense.sum(1).view(-1, 1).expand_as(x)
    torch.testing.assert_close(x.grad, expected)
