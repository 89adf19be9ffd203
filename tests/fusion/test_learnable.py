"""The learned router."""

import pytest
import torch

from kvdistill.errors import ConfigError
from kvdistill.fusion.base import compute_imbalance
from kvdistill.fusion.learnable import Learnable

FIELDS = {
    "router": "mlp",
    "hidden": 8,
    "lr_scale": 1.0,
    "balance_weight": 0.0,
    "teacher_dropout": 0.0,
}
routers = pytest.mark.parametrize("router", ["mlp", "linear"])


@routers
def test_it_starts_uniform(build, scene, router):
    own, targets = scene(cover=1)
    _, weights = build(Learnable, **FIELDS | {"router": router})(own, targets, 0, 0.0)
    torch.testing.assert_close(weights, torch.full((3, 2, 6), 1 / 3))


def test_the_linear_router_is_the_literal_formula(build, scene):
    own, targets = scene(cover=1)
    fusion = build(Learnable, **FIELDS | {"router": "linear"})
    router = fusion.routers["2"]
    torch.nn.init.normal_(router.weight, generator=torch.Generator().manual_seed(0))
    _, weights = fusion(own, targets, 2, 0.0)
    for b in range(2):
        for s in range(6):
            parts = []
            for part in (own.keys, own.values):
                x = part[b, :, s].flatten()
                parts.append((x - x.mean()) / (x.var(correction=0) + 1e-5).sqrt())
            logits = router.weight @ torch.cat(parts) + router.bias
            torch.testing.assert_close(weights[:, b, s], logits.softmax(0))


def test_each_layer_has_a_router_of_its_own(build, scene):
    own, targets = scene(cover=1)
    fusion = build(Learnable, **FIELDS)
    with torch.no_grad():
        fusion.routers["2"][-1].bias.copy_(torch.tensor([9.0, 0.0, 0.0]))
    assert fusion(own, targets, 2, 0.0)[1][0].min() > 0.99
    assert fusion(own, targets, 0, 0.0)[1][0].max() < 0.34


@routers
def test_it_learns_which_teacher_is_near(build, scene, router):
    own, targets = scene(teachers=2, cover=1, batch=8)
    targets[1] = own
    fusion = build(Learnable, teachers=2, **FIELDS | {"router": router})
    optimiser = torch.optim.Adam(fusion.parameters(), lr=0.05)
    for _ in range(60):
        fused, _ = fusion(own, targets, 0, 0.0)
        loss = (fused.keys - own.keys).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert fusion(own, targets, 0, 0.0)[1][1].mean() > 0.9


def test_a_dropped_teacher_counts_only_where_it_is_alone(build, scene):
    own, targets = scene(teachers=2, batch=64)
    fusion = build(Learnable, teachers=2, **FIELDS | {"teacher_dropout": 0.5})
    torch.manual_seed(0)
    fused, weights = fusion.train()(own, targets, 0, 0.0)
    valid = torch.stack([target.mask for target in targets]) & own.mask
    assert torch.equal(fused.mask, valid.any(0))
    alone = valid & ~valid.flip(0)
    assert (weights[alone] == 1).all()
    both = valid.all(0)
    # Of (kept, kept), (kept, dropped), (dropped, kept), (dropped, dropped) two leave both in.
    seen = {round(w, 3) for w in weights[0][both].tolist()}
    assert seen == {0.0, 0.5, 1.0}
    per_sample = [set(weights[0, i][both[i]].tolist()) for i in range(64)]
    assert all(len(values) <= 1 for values in per_sample)


def test_no_teacher_is_dropped_in_evaluation(build, scene):
    own, targets = scene(teachers=2, cover=1, batch=16)
    fusion = build(Learnable, teachers=2, **FIELDS | {"teacher_dropout": 0.5}).eval()
    torch.testing.assert_close(fusion(own, targets, 0, 0.0)[1], torch.full((2, 16, 6), 0.5))


def test_the_penalty_is_the_weighted_imbalance(build, scene):
    own, targets = scene()
    fusion = build(Learnable, **FIELDS | {"balance_weight": 0.3})
    fused, weights = fusion(own, targets, 0, 0.0)
    torch.testing.assert_close(
        fusion.compute_penalty(weights, 0.0), 0.3 * compute_imbalance(weights, fused.mask)
    )
    assert build(Learnable, **FIELDS).compute_penalty(weights, 0.0).tolist() == [0, 0]


def test_a_step_down_the_penalty_evens_out_the_teachers(build, scene):
    own, targets = scene(teachers=2, cover=1)
    fusion = build(Learnable, teachers=2, **FIELDS | {"balance_weight": 1.0})
    bias = fusion.routers["0"][-1].bias
    with torch.no_grad():
        bias.copy_(torch.tensor([1.0, 0.0]))
    _, weights = fusion(own, targets, 0, 0.0)
    (slope,) = torch.autograd.grad(fusion.compute_penalty(weights, 0.0).sum(), bias)
    assert slope[0] > 0 > slope[1]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("router", "transformer", r"fusion\.router=transformer .* mlp, linear"),
        ("hidden", 0, r"fusion\.hidden must be at least 1, got 0"),
        ("teacher_dropout", 1.0, r"fusion\.teacher_dropout must be in \[0, 1\), got 1"),
        ("lr_scale", 0.0, r"fusion\.lr_scale must be above 0, got 0"),
        ("balance_weight", -0.1, r"fusion\.balance_weight must be 0 or more, got -0\.1"),
    ],
)
def test_other_settings_are_refused(build, field, value, message):
    with pytest.raises(ConfigError, match=message):
        build(Learnable, **FIELDS | {field: value})
