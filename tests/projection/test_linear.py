"""The trained map starts as ridge and cannot shrink its target."""

import pytest
import torch

from kvdistill.errors import ConfigError
from kvdistill.projection.linear import Linear
from kvdistill.projection.ridge import Ridge
from kvdistill.types import KV


@pytest.fixture
def linear(geometry, sources, moments):
    def make(lr_scale=0.1, **seen):
        projection = Linear(
            student=geometry(),
            teacher=geometry(kv_heads=3),
            layer_pairs=sources,
            penalty=1e-3,
            lr_scale=lr_scale,
        )
        projection.fit(moments(**seen))
        return projection

    return make


@pytest.mark.parametrize("lr_scale", [0.0, 0.1])
def test_it_starts_as_the_ridge_fit(linear, geometry, sources, moments, layer, pairs, lr_scale):
    ridge = Ridge(
        student=geometry(), teacher=geometry(kv_heads=3), layer_pairs=sources, penalty=1e-3
    )
    ridge.fit(moments())
    for pair in pairs:
        ours, theirs = (
            p.project_teacher(layer(3, fill=0.0), pair) for p in (linear(lr_scale), ridge)
        )
        torch.testing.assert_close(ours.keys, theirs.keys)
        torch.testing.assert_close(ours.values, theirs.values)


def test_a_shrunken_weight_gives_the_same_target(linear, layer, pairs):
    projection, kv = linear(), layer(3, fill=0.0)
    before = projection.project_teacher(kv, pairs[1]).keys
    with torch.no_grad():
        for weight in projection.parameters():
            weight.mul_(1e-3)
    torch.testing.assert_close(projection.project_teacher(kv, pairs[1]).keys, before)


def test_trained_towards_zero_the_target_keeps_its_variance(linear, rows, pairs):
    # The naive objective: the map alone is asked to bring the target to 0.
    projection = linear(count=20_000)
    x, _ = rows(count=1000, seed=5)
    heads = x.view(1, 1000, 3, 4).transpose(1, 2)
    kv = KV(heads, heads, torch.ones(1, 1000, dtype=torch.bool))
    before = projection.project_teacher(kv, pairs[0]).keys.detach().square().mean()
    optimiser = torch.optim.Adam(projection.parameters(), lr=0.05)
    for _ in range(30):
        optimiser.zero_grad()
        projection.project_teacher(kv, pairs[0]).keys.square().mean().backward()
        optimiser.step()
    after = projection.project_teacher(kv, pairs[0]).keys.square().mean()
    assert after > 0.8 * before


def test_only_the_maps_of_the_pair_get_a_gradient(linear, layer, pairs):
    projection = linear()
    target = projection.project_teacher(layer(3, fill=0.0), pairs[1])
    # A first power: the variance of the target is fixed, so a sum of squares hardly moves.
    (target.keys.sum() + target.values.sum()).backward()
    for maps in (projection.keys.weights, projection.values.weights):
        assert [w.grad is not None for w in maps] == [False, True, False]
        assert maps[1].grad.abs().sum() > 0


def test_a_negative_rate_is_refused(linear):
    with pytest.raises(ConfigError, match=r"projection\.lr_scale must be 0 or more, got -1"):
        linear(-1.0)
