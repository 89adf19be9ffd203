"""Moments against numpy, and the fits made from them."""

import numpy as np
import pytest
import torch

from kvdistill.errors import UserError
from kvdistill.kv.moments import Moments, RunningR2


def rows(count=200, teacher=6, student=4, seed=0, noise=0.1):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, teacher, generator=generator, dtype=torch.float64) + 5
    w = torch.randn(teacher, student, generator=generator, dtype=torch.float64)
    y = x @ w + noise * torch.randn(count, student, generator=generator, dtype=torch.float64)
    return x, y


def sum_moments(x, y, chunks=3):
    moments = Moments.empty(x.shape[1], y.shape[1])
    for a, b in zip(x.chunk(chunks), y.chunk(chunks), strict=True):
        moments.add(a, b)
    return moments


def test_covariances_are_numpys():
    x, y = rows()
    moments = sum_moments(x, y)
    expected = np.cov(np.hstack([x, y]).T, bias=True)
    np.testing.assert_allclose(moments.cov_xx, expected[:6, :6], atol=1e-9)
    np.testing.assert_allclose(moments.cov_xy, expected[:6, 6:], atol=1e-9)
    np.testing.assert_allclose(moments.cov_yy, expected[6:, 6:], atol=1e-9)


def test_swapped_exchanges_the_two_sides():
    x, y = rows()
    torch.testing.assert_close(sum_moments(x, y).reverse.cov_xy, sum_moments(y, x).cov_xy)


def test_projected_moments_are_those_of_the_mapped_rows():
    x, y = rows()
    w = torch.arange(18, dtype=torch.float64).view(6, 3)
    ours, theirs = sum_moments(x, y).project_teacher(w), sum_moments(x @ w, y)
    for part in ("count", "x", "y", "xx", "xy", "yy"):
        torch.testing.assert_close(getattr(ours, part), getattr(theirs, part))


def test_ridge_is_the_minimum_of_its_penalised_loss():
    x, y = rows(count=40)
    x, y = x - x.mean(0), y - y.mean(0)
    penalty = 0.3
    strength = penalty * x.square().mean(0).mean()
    w = torch.zeros(6, 4, dtype=torch.float64, requires_grad=True)

    def loss(w):
        return (y - x @ w).square().sum() / len(x) + strength * w.square().sum()

    ours = sum_moments(x, y, chunks=1).fit_ridge(penalty)
    (slope,) = torch.autograd.grad(loss(w + ours), w)
    assert slope.abs().max() < 1e-9
    # The same as ordinary least squares on rows extended by the penalty.
    extended = torch.cat([x, (len(x) * strength) ** 0.5 * torch.eye(6, dtype=x.dtype)])
    literal = torch.linalg.lstsq(extended, torch.cat([y, y.new_zeros(6, 4)])).solution
    torch.testing.assert_close(ours, literal)


def test_the_penalty_has_no_unit():
    x, y = rows(count=40)
    torch.testing.assert_close(
        sum_moments(1000 * x, y).fit_ridge(0.1) * 1000, sum_moments(x, y).fit_ridge(0.1)
    )


def test_a_constant_of_qwens_size_does_not_disturb_the_fit():
    x, y = rows(count=400)
    torch.testing.assert_close(
        sum_moments(x + 600, y - 900).fit_ridge(1e-3),
        sum_moments(x, y).fit_ridge(1e-3),
        rtol=1e-6,
        atol=1e-8,
    )


def test_rows_that_do_not_vary_cannot_be_fitted():
    with pytest.raises(UserError, match="0 calibration tokens"):
        Moments.empty(3, 2).fit_ridge(0.1)
    with pytest.raises(UserError, match="5 calibration tokens that do not vary"):
        sum_moments(torch.ones(5, 3), torch.ones(5, 2), chunks=1).fit_ridge(0.1)


def test_r2_is_the_literal_share_of_explained_variance():
    x, y = rows(noise=2.0)
    moments = sum_moments(x, y)
    w = moments.fit_ridge(0.01) + 0.1
    x, y = x - x.mean(0), y - y.mean(0)
    literal = 1 - (y - x @ w).square().sum() / y.square().sum()
    assert moments.r2_score(w) == pytest.approx(float(literal))
    assert moments.r2_score(torch.zeros(6, 4)) == pytest.approx(0)


def kv(seed, batch=3, heads=2, seq=7, dim=4):
    return torch.randn(batch, heads, seq, dim, generator=torch.Generator().manual_seed(seed))


def test_agreement_is_one_for_itself_zero_for_the_mean_and_ignores_what_is_masked():
    target, mask = kv(0) + 3, torch.ones(3, 7, dtype=torch.bool)
    mask[1, 4:] = False
    hidden = target.masked_fill(~mask[:, None, :, None], torch.nan)
    same, mean = RunningR2(), RunningR2()
    same.add(hidden, hidden, mask[:, None])
    centre = target.transpose(1, 2)[mask].mean(0)
    mean.add(centre[None, :, None].expand_as(target), hidden, mask[:, None])
    assert same.r2 == 1
    assert mean.r2 == pytest.approx(0, abs=1e-6)


def test_agreement_over_batches_is_the_literal_value_over_all_of_them():
    own, target, mask = kv(1), kv(2), kv(3)[:, 0, :, 0] < 0.5
    agreement = RunningR2()
    for i in range(3):
        agreement.add(own[i : i + 1], target[i : i + 1], mask[i : i + 1, None])
    a, b = (part.transpose(1, 2)[mask].double() for part in (own, target))
    literal = 1 - (a - b).square().sum() / (b - b.mean(0)).square().sum()
    assert agreement.r2 == pytest.approx(float(literal))


def test_a_shared_constant_buys_a_cosine_but_no_agreement():
    own, target = kv(1) + 100, kv(2) + 100
    cosine = torch.nn.functional.cosine_similarity(own, target, dim=-1)
    agreement = RunningR2()
    agreement.add(own, target, torch.ones(3, 1, 7, dtype=torch.bool))
    assert cosine.mean() > 0.999
    assert agreement.r2 < 0


def test_agreement_where_heads_hold_their_own_tokens_is_that_of_each_heads_tokens():
    own, target, held = kv(1), kv(2), kv(3)[..., 0] < 0.5
    agreement = RunningR2()
    agreement.add(own, target.masked_fill(~held[..., None], torch.nan), held)
    residual = total = 0.0
    for head in range(2):
        a, b = own[:, head][held[:, head]].double(), target[:, head][held[:, head]].double()
        residual += (a - b).square().sum()
        total += (b - b.mean(0)).square().sum()
    assert agreement.r2 == pytest.approx(float(1 - residual / total))


def test_a_shift_of_the_teacher_is_that_of_its_rows():
    x, y, by = torch.randn(9, 4), torch.randn(9, 3), torch.randn(4)
    plain, shifted = Moments.empty(4, 3), Moments.empty(4, 3)
    plain.add(x, y)
    shifted.add(x.double() + by.double(), y)
    for a, b in zip(vars(plain.shift_teacher(by)).values(), vars(shifted).values(), strict=True):
        torch.testing.assert_close(a, b)


def test_agreement_over_no_tokens_is_refused():
    with pytest.raises(ValueError, match="two tokens"):
        _ = RunningR2().r2
