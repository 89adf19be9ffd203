"""The teacher's principal components alone are mapped."""

import pytest
import torch

from kvdistill.errors import ConfigError, UserError
from kvdistill.kv.moments import Moments
from kvdistill.projection.low_rank import LowRank
from kvdistill.projection.ridge import Ridge


@pytest.fixture
def low_rank(geometry, sources, moments):
    def make(rank, **seen):
        projection = LowRank(
            student=geometry(), teacher=geometry(kv_heads=3), layer_pairs=sources, rank=rank
        )
        projection.fit(moments(**seen))
        return projection

    return make


def gather(x, y):
    part = Moments.empty(x.shape[1], y.shape[1])
    part.add(x, y)
    return part


def test_the_map_is_the_regression_on_principal_components_token_by_token(low_rank, rows):
    x, y = (part.double() for part in rows())
    x = x * torch.linspace(0.2, 2, 12, dtype=torch.float64)  # components that are told apart
    own = low_rank(3).solve_map(gather(x, y))
    x, y = x - x.mean(dim=0), y - y.mean(dim=0)
    _, _, right = torch.linalg.svd(x, full_matrices=False)
    components = x @ right[:3].T
    fitted = torch.linalg.lstsq(components, y).solution
    torch.testing.assert_close(own, right[:3].T @ fitted)
    assert torch.linalg.matrix_rank(own) == 3


def test_at_full_rank_it_is_least_squares(low_rank, rows):
    seen = gather(*(part.double() for part in rows()))
    torch.testing.assert_close(low_rank(12).solve_map(seen), seen.fit_ridge(1e-14))


def test_more_components_explain_no_less_of_what_they_were_fitted_on(low_rank, rows):
    seen = gather(*rows())
    scores = [seen.r2_score(low_rank(rank).solve_map(seen)) for rank in (1, 4, 8, 12)]
    assert scores == sorted(scores)
    assert scores[0] < 0.5 < 0.99 < scores[-1]


def test_a_law_in_the_leading_components_is_kept_and_one_outside_them_is_not(low_rank):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(400, 12, generator=generator) * torch.tensor([5.0] * 4 + [0.1] * 8)
    law = torch.randn(12, 8, generator=generator)
    inside, outside = gather(x, x[:, :4] @ law[:4]), gather(x, x[:, 4:] @ law[4:])
    assert inside.r2_score(low_rank(4).solve_map(inside)) > 0.99
    assert outside.r2_score(low_rank(4).solve_map(outside)) < 0.05


def test_it_is_frozen_and_maps_as_any_closed_form_does(low_rank, geometry, sources, moments, layer):
    full, kv = low_rank(12), layer(3, fill=0.0)
    ridge = Ridge(
        student=geometry(), teacher=geometry(kv_heads=3), layer_pairs=sources, penalty=1e-12
    )
    ridge.fit(moments())
    for map_id in moments():
        one, other = (each.project_teacher(kv, map_id) for each in (full, ridge))
        torch.testing.assert_close(one.keys, other.keys)
    assert not list(full.parameters())
    assert not full.trains


@pytest.mark.parametrize("rank", [0, -1, 13])
def test_a_rank_that_the_teacher_cannot_have_is_refused(low_rank, rank):
    with pytest.raises(ConfigError, match=rf"projection\.rank={rank} must be from 1 to 12"):
        low_rank(rank)


def test_tokens_that_span_fewer_directions_are_refused(low_rank):
    with pytest.raises(UserError, match=r"5 calibration tokens .* projection\.rank=8"):
        low_rank(8, count=5)
    assert low_rank(4, count=5).keys.isfinite().all()


def test_no_token_is_refused(low_rank):
    with pytest.raises(UserError, match="0 calibration tokens"):
        low_rank(1).solve_map(Moments.empty(12, 8))
