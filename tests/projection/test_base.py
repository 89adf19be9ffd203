"""Laws that hold for every projection, and mapping across heads."""

from functools import partial

import pytest
import torch

from kvdistill.errors import ConfigError
from kvdistill.layers.base import LayerPair
from kvdistill.projection.base import check_shared_space, list_map_ids, map_across_heads
from kvdistill.projection.identity import Identity
from kvdistill.projection.linear import Linear
from kvdistill.projection.procrustes import Procrustes
from kvdistill.projection.ridge import Ridge
from kvdistill.projection.student_side import StudentSide

KINDS = {
    "identity": Identity,
    "ridge": partial(Ridge, penalty=1e-3),
    "procrustes": Procrustes,
    "linear": partial(Linear, penalty=1e-3, lr_scale=0.1),
    "linear frozen": partial(Linear, penalty=1e-3, lr_scale=0.0),
    "student_side": partial(StudentSide, penalty=1e-3, lr_scale=1.0),
}
laws = pytest.mark.parametrize("name", KINDS)


@pytest.fixture
def fit_projection(geometry, sources, moments):
    """A fit_projection projection; a teacher of 3 KV heads, but of 2 for the identity."""

    def make(name):
        heads = 2 if name == "identity" else 3
        projection = KINDS[name](
            student=geometry(), teacher=geometry(kv_heads=heads), layer_pairs=sources
        )
        projection.fit(moments(teacher=4 * heads))
        return projection, heads

    return make


def space(projection, heads):
    """Heads of the space of comparison."""
    return 2 if projection.in_student_space else heads


@laws
def test_both_sides_meet_in_one_space(name, fit_projection, layer, pairs):
    projection, heads = fit_projection(name)
    for pair in pairs:
        target, own = (
            projection.project_teacher(layer(heads), pair),
            projection.project_student(layer(2), pair),
        )
        assert target.keys.shape == own.keys.shape == (2, space(projection, heads), 5, 4)
        assert target.values.shape == own.values.shape
        assert torch.equal(target.mask, layer().mask)


@laws
def test_what_lies_under_the_mask_changes_neither_value_nor_gradient(
    name, fit_projection, layer, pairs
):
    projection, heads = fit_projection(name)

    def run(fill):
        student = layer(2, fill=fill)
        student.keys.requires_grad_()
        target = projection.project_teacher(layer(heads, seed=1, fill=fill), pairs[1])
        own = projection.project_student(student, pairs[1])
        off = (own.keys - target.keys).masked_fill(~own.mask[:, None, :, None], 0)
        seen = [student.keys, *(w for w in projection.parameters() if w.requires_grad)]
        slopes = torch.autograd.grad(off.square().sum(), seen, allow_unused=True)
        return [off.detach(), *(slope for slope in slopes if slope is not None)]

    clean, poisoned = run(0.0), run(torch.nan)
    assert len(clean) > 1
    for a, b in zip(clean, poisoned, strict=True):
        assert torch.equal(a, b)


@laws
def test_keys_values_and_pairs_each_have_a_map_of_their_own(name, fit_projection, layer, pairs):
    if name == "identity":
        return
    projection, heads = fit_projection(name)
    kv = layer(space(projection, 2) if name == "student_side" else heads, fill=0.0)
    kv = type(kv)(kv.keys, kv.keys, kv.mask)
    side = projection.project_student if name == "student_side" else projection.project_teacher
    for pair in pairs:
        out = side(kv, pair)
        assert not torch.allclose(out.keys, out.values)
    assert not torch.allclose(side(kv, pairs[0]).keys, side(kv, pairs[1]).keys)


@laws
def test_a_projection_that_was_not_fitted_is_nan_not_zero(name, geometry, sources, layer, pairs):
    projection = KINDS[name](student=geometry(), teacher=geometry(), layer_pairs=sources)
    kv = layer(2, fill=0.0)
    off = (
        projection.project_student(kv, pairs[0]).keys
        - projection.project_teacher(kv, pairs[0]).keys
    )
    assert off.isnan().all() or name == "identity"


@laws
def test_only_what_says_it_trains_has_weights_that_want_gradients(name, fit_projection):
    projection, _ = fit_projection(name)
    wants = any(weight.requires_grad for weight in projection.parameters())
    assert wants == projection.trains == (name in ("linear", "student_side"))


@laws
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_stays_near_single(name, fit_projection, layer, pairs, dtype):
    projection, heads = fit_projection(name)
    exact, half = (
        projection.project_teacher(layer(heads, fill=0.0, dtype=d), pairs[0]).keys
        for d in (torch.float32, dtype)
    )
    with torch.autocast("cpu", dtype=torch.bfloat16):
        auto = projection.project_teacher(layer(heads, fill=0.0, dtype=dtype), pairs[0]).keys
    for other in (half, auto):
        torch.testing.assert_close(other.float(), exact, rtol=3e-2, atol=8e-2)


@laws
def test_weights_come_back_from_a_state_dict(name, fit_projection, layer, pairs, geometry, moments):
    saved, heads = fit_projection(name)
    loaded, _ = fit_projection(name)
    with torch.no_grad():
        for weight in saved.state_dict().values():
            weight.mul_(2).add_(0.1)
    loaded.load_state_dict(saved.state_dict())
    kv, own = layer(heads, fill=0.0), layer(2, fill=0.0)
    assert torch.equal(
        loaded.project_teacher(kv, pairs[2]).keys, saved.project_teacher(kv, pairs[2]).keys
    )
    assert torch.equal(
        loaded.project_student(own, pairs[2]).keys, saved.project_student(own, pairs[2]).keys
    )


@laws
def test_it_builds_on_the_meta_device(name, geometry, sources):
    with torch.device("meta"):
        KINDS[name](student=geometry(), teacher=geometry(), layer_pairs=sources)


def test_teachers_in_spaces_of_their_own_are_not_fused(fit_projection):
    apart, together = fit_projection("student_side")[0], fit_projection("ridge")[0]
    check_shared_space({"a": apart})
    check_shared_space({"a": together, "b": together})
    with pytest.raises(ConfigError, match=r"student_side .* one teacher, got a, b\. Use arm="):
        check_shared_space({"a": apart, "b": apart})


def test_pairs_are_in_order_with_both_neighbours():
    assert list_map_ids([LayerPair(3, 5, 6, 0.5), LayerPair(4, 7, 7, 0.0)]) == [
        (3, 5),
        (3, 6),
        (4, 7),
    ]


@pytest.mark.parametrize("heads", [2, 4, 8])
@pytest.mark.parametrize("out_heads", [2, 4, 8])
def test_a_map_across_heads_is_the_literal_sum_over_all_heads_of_a_token(heads, out_heads):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, heads, 3, 5, generator=generator)
    weight = torch.randn(heads * 5, out_heads * 4, generator=generator)
    out = map_across_heads(x, weight, out_heads)
    for b in range(2):
        for s in range(3):
            for g in range(out_heads):
                for d in range(4):
                    total = sum(
                        x[b, h, s, e] * weight[h * 5 + e, g * 4 + d]
                        for h in range(heads)
                        for e in range(5)
                    )
                    torch.testing.assert_close(out[b, g, s, d], total, rtol=1e-4, atol=1e-5)
