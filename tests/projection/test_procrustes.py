"""Procrustes against scipy, and its optimality."""

import pytest
import torch
from scipy.linalg import orthogonal_procrustes

from kvdistill.errors import UserError
from kvdistill.kv.moments import Moments
from kvdistill.projection.procrustes import Procrustes


@pytest.fixture
def solve(geometry, sources):
    def make(x, y):
        moments = Moments.empty(x.shape[1], y.shape[1])
        moments.add(x, y)
        projection = Procrustes(
            student=geometry(), teacher=geometry(kv_heads=3), layer_pairs=sources
        )
        return projection.solve_map(moments)

    return make


def test_scipys_rotation_where_widths_are_equal(solve, rows):
    x, y = rows(teacher=8, noise=1.0)
    x, y = (part.double() - part.double().mean(0) for part in (x, y))
    turn, strength = orthogonal_procrustes(x.numpy(), y.numpy())
    turn = torch.from_numpy(turn)
    scale = strength / (x @ turn).square().sum()
    torch.testing.assert_close(solve(x, y), turn * scale)


def test_a_rotation_and_a_scale_are_recovered_exactly(solve):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(100, 8, generator=generator, dtype=torch.float64)
    turn, _ = torch.linalg.qr(torch.randn(8, 8, generator=generator, dtype=torch.float64))
    torch.testing.assert_close(solve(x + 3, 2.5 * x @ turn - 7), 2.5 * turn)


@pytest.mark.parametrize("teacher", [4, 8, 12])
def test_the_map_is_a_scaled_semi_orthogonal_one(solve, rows, teacher):
    w = solve(*rows(teacher=teacher, noise=1.0))
    small = w.T @ w if teacher >= 8 else w @ w.T
    eye = torch.eye(len(small), dtype=small.dtype)
    torch.testing.assert_close(small, small[0, 0] * eye)


@pytest.mark.parametrize("teacher", [4, 8, 12])
def test_no_other_semi_orthogonal_map_covaries_more_and_no_other_scale_fits_better(
    solve, rows, teacher
):
    x, y = rows(teacher=teacher, noise=1.0)
    x, y = (part.double() - part.double().mean(0) for part in (x, y))
    w = solve(x, y)
    turn = w / torch.linalg.matrix_norm(w, 2)
    best = (x @ turn * y).sum()
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        near = turn + 0.1 * torch.randn(turn.shape, generator=generator, dtype=turn.dtype)
        left, _, right = torch.linalg.svd(near, full_matrices=False)
        assert (x @ left @ right * y).sum() <= best
    loss = (y - x @ w).square().sum()
    assert (y - x @ (1.01 * w)).square().sum() > loss
    assert (y - x @ (0.99 * w)).square().sum() > loss


def test_rows_that_do_not_vary_cannot_be_fitted(solve):
    with pytest.raises(UserError, match=r"projection=procrustes .* 6 calibration tokens"):
        solve(torch.ones(6, 12), torch.ones(6, 8))
