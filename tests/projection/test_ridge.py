"""Ridge recovers a linear law."""

import pytest
import torch

from kvdistill.errors import ConfigError
from kvdistill.kv.moments import Moments
from kvdistill.projection.ridge import Ridge


@pytest.fixture
def ridge(geometry, sources, moments):
    def make(penalty=1e-3, **seen):
        projection = Ridge(
            student=geometry(), teacher=geometry(kv_heads=3), layer_pairs=sources, penalty=penalty
        )
        projection.fit(moments(**seen))
        return projection

    return make


def test_a_linear_law_is_recovered_on_held_out_rows(ridge, rows, pairs):
    projection = ridge()
    for i, pair in enumerate(pairs):
        for part, law in (("keys", 2 * i), ("values", 2 * i + 1)):
            held_out = Moments.empty(12, 8)
            held_out.add(*rows(law=law, seed=1))
            assert held_out.r2_score(getattr(projection, part)[i]) > 0.99, pair


def test_the_target_is_the_map_of_its_pair(ridge, layer, moments, pairs):
    projection, kv = ridge(penalty=0.5), layer(3, fill=0.0)
    for pair in pairs:
        target = projection.project_teacher(kv, pair)
        for part, seen in zip(("keys", "values"), moments()[pair], strict=True):
            flat = getattr(kv, part).transpose(1, 2).reshape(2, 5, 12)
            expected = (flat @ seen.fit_ridge(0.5).float()).view(2, 5, 2, 4).transpose(1, 2)
            torch.testing.assert_close(getattr(target, part), expected)


def test_a_larger_penalty_gives_a_smaller_map(ridge):
    norms = [ridge(penalty).keys.norm() for penalty in (1e-3, 1.0, 1e3)]
    assert norms[0] > norms[1] > norms[2]
    assert norms[2] < 0.01 * norms[0]


def test_more_width_than_tokens_can_still_be_fitted(ridge):
    assert ridge(count=5).keys.isfinite().all()


@pytest.mark.parametrize("penalty", [0.0, -1.0, float("nan")])
def test_a_penalty_that_is_not_positive_is_refused(ridge, penalty):
    with pytest.raises(ConfigError, match=r"projection\.penalty must be above 0"):
        ridge(penalty)
