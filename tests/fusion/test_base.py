"""Laws that hold for every fusion, and the helpers they share."""

import math
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kvdistill.fusion.base import Fusion, compute_entropy, compute_imbalance, normalise_over_valid
from kvdistill.fusion.best_single import BestSingle
from kvdistill.fusion.fixed import Fixed
from kvdistill.fusion.learnable import Learnable
from kvdistill.fusion.similarity import Similarity
from kvdistill.fusion.staged import Staged
from kvdistill.types import KV

LEARNABLE = {"hidden": 8, "lr_scale": 1.0, "balance_weight": 0.0, "teacher_dropout": 0.0}
KINDS = {
    "fixed": partial(Fixed, weights=None),
    "best_single": partial(BestSingle, teacher="a"),
    "cosine": partial(Similarity, metric="cosine", temperature=0.1, per="token"),
    "dot by layer": partial(Similarity, metric="dot", temperature=0.5, per="layer"),
    "mlp": partial(Learnable, router="mlp", **LEARNABLE),
    "linear": partial(Learnable, router="linear", **LEARNABLE),
    "staged": partial(
        Staged,
        stages={
            "fixed": partial(Fixed, weights=None),
            "learnable": partial(Learnable, router="mlp", **LEARNABLE),
        },
        shares={"fixed": 0.4, "learnable": 0.6},
    ),
}

laws = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


def move_routers(fusion: Fusion) -> Fusion:
    """Moves routers off their uniform start."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for weight in fusion.parameters():
            weight.add_(torch.randn(weight.shape, generator=generator))
    return fusion


def valid_tokens(own, targets):
    return torch.stack([target.mask for target in targets]) & own.mask


@laws
def test_weights_sum_to_one_over_valid_teachers_or_the_token_is_masked(kind, build, scene):
    own, targets = scene(batch=4)
    target, weights = move_routers(build(kind))(own, targets, 2, 0.5)
    valid = valid_tokens(own, targets)
    assert weights.shape == (3, 4, 6)
    assert (weights[~valid] == 0).all()
    assert (weights >= 0).all()
    torch.testing.assert_close(weights.sum(0), target.mask.float())
    assert not (target.mask & ~valid.any(0)).any()
    assert target.keys.isfinite().all()
    assert target.values.isfinite().all()


@laws
def test_the_target_is_the_literal_weighted_sum(kind, build, scene):
    own, targets = scene()
    fused, weights = move_routers(build(kind))(own, targets, 2, 0.5)
    for b in range(2):
        for s in range(6):
            for part in ("keys", "values"):
                expected = torch.zeros(2, 4)
                for t in range(3):
                    if weights[t, b, s] > 0:
                        expected += weights[t, b, s] * getattr(targets[t], part)[b, :, s]
                torch.testing.assert_close(getattr(fused, part)[b, :, s], expected)


@laws
def test_one_teacher_fused_is_that_teacher(kind, build, scene):
    own, targets = scene(teachers=1)
    fused, weights = move_routers(build(kind, teachers=1))(own, targets, 0, 0.5)
    mask = valid_tokens(own, targets)[0]
    assert torch.equal(fused.mask, mask)
    assert torch.equal(weights[0], mask.float())
    shown = mask[:, None, :, None]
    for part in ("keys", "values"):
        expected = getattr(targets[0], part).masked_fill(~shown, 0)
        torch.testing.assert_close(getattr(fused, part), expected)


@laws
@pytest.mark.parametrize(("dtype", "near"), [(torch.float32, 1e-6), (torch.bfloat16, 2e-2)])
def test_equal_teachers_fuse_to_that_teacher(kind, build, scene, dtype, near):
    own, targets = scene(teachers=1, dtype=dtype)
    fused, _ = move_routers(build(kind))(own, targets * 3, 0, 0.5)
    mask = valid_tokens(own, targets)[0]
    expected = targets[0].keys.masked_fill(~mask[:, None, :, None], 0)
    assert torch.equal(fused.mask, mask)
    assert fused.keys.dtype == dtype
    torch.testing.assert_close(fused.keys, expected, rtol=near, atol=near)


@laws
def test_what_lies_under_a_mask_changes_neither_value_nor_gradient(kind, build, scene):
    own, targets = scene()
    fusion = move_routers(build(kind))

    def run(fill):
        def fill_hidden(kv):
            hidden = ~kv.mask[:, None, :, None]
            parts = [p.masked_fill(hidden, fill) for p in (kv.keys, kv.values)]
            return KV(*(p.requires_grad_() for p in parts), kv.mask)

        shown, seen = fill_hidden(own), [fill_hidden(target) for target in targets]
        fused, weights = fusion(shown, seen, 2, 0.5)
        total = fused.keys.square().sum() + fused.values.square().sum()
        inputs = [p for kv in seen for p in (kv.keys, kv.values)] + list(fusion.parameters())
        slopes = torch.autograd.grad(total, inputs, allow_unused=True)
        return [total.detach(), weights.detach(), *(g for g in slopes if g is not None)]

    for clean, poisoned in zip(run(0.0), run(torch.nan), strict=True):
        assert torch.equal(clean, poisoned)


@laws
def test_no_gradient_reaches_the_student_through_the_weights(kind, build, scene):
    own, targets = scene()
    own.keys.requires_grad_(), own.values.requires_grad_()
    fused, weights = move_routers(build(kind))(own, targets, 0, 0.9)
    total = fused.keys.sum() + weights.square().sum()
    if total.requires_grad:
        slopes = torch.autograd.grad(total, (own.keys, own.values), allow_unused=True)
        assert slopes == (None, None)


@laws
def test_samples_do_not_see_each_other(kind, build, scene):
    own, targets = scene(batch=3)
    fusion = move_routers(build(kind))
    _, whole = fusion(own, targets, 2, 0.5)

    def one(kv, i):
        return KV(kv.keys[i, None], kv.values[i, None], kv.mask[i, None])

    alone = [fusion(one(own, i), [one(t, i) for t in targets], 2, 0.5)[1] for i in range(3)]
    torch.testing.assert_close(torch.cat(alone, dim=1), whole)


@settings(deadline=None, derandomize=True, max_examples=50)
@given(
    logits=st.lists(st.floats(-50, 50, width=32), min_size=1, max_size=5),
    shut=st.lists(st.booleans(), min_size=5, max_size=5),
)
def test_renormalising_is_the_literal_softmax_over_the_valid(logits, shut):
    valid = [not closed for closed in shut[: len(logits)]]
    weights = normalise_over_valid(
        torch.tensor(logits)[:, None, None], torch.tensor(valid)[:, None, None]
    )
    top = max((x for x, v in zip(logits, valid, strict=True) if v), default=0)
    powers = [math.exp(x - top) if v else 0.0 for x, v in zip(logits, valid, strict=True)]
    expected = [p / sum(powers) if any(valid) else 0.0 for p in powers]
    assert weights.flatten().tolist() == pytest.approx(expected, abs=1e-6)


def test_weights_are_single_precision_whatever_the_logits_are():
    logits = torch.tensor([[[1.0]], [[0.0]]], dtype=torch.bfloat16)
    weights = normalise_over_valid(logits, torch.ones(2, 1, 1, dtype=torch.bool))
    torch.testing.assert_close(weights, logits.float().softmax(dim=0))


def test_a_nan_logit_is_not_taken_for_a_teacher_shut_out(build, scene):
    class Broken(Fixed):
        def compute_logits(self, own, targets, layer, progress):
            return super().compute_logits(own, targets, layer, progress) * torch.nan

    own, targets = scene(cover=1)
    assert build(Broken, weights=None)(own, targets, 0, 0.0)[1].isnan().all()


def test_entropy_by_eye():
    weights = torch.tensor([[[0.5, 1.0, 0.0]], [[0.5, 0.0, 0.0]]])
    mask = torch.tensor([[True, True, False]])
    # log 2 at the first token, 0 at the second; the third is masked.
    assert compute_entropy(weights, mask).item() == pytest.approx(math.log(2) / 2)


def test_entropy_of_a_sample_with_no_token_is_zero():
    assert compute_entropy(torch.zeros(2, 1, 3), torch.zeros(1, 3, dtype=torch.bool)).tolist() == [
        0
    ]


def test_entropy_has_a_finite_gradient_where_a_weight_is_zero():
    logits = torch.tensor([[[0.3, 0.0]], [[-torch.inf, 0.0]]], requires_grad=True)
    mask = torch.tensor([[True, False]])
    valid = torch.tensor([[[True, False]], [[False, False]]])
    (slope,) = torch.autograd.grad(
        compute_entropy(normalise_over_valid(logits, valid), mask).sum(), logits
    )
    assert torch.equal(slope, torch.zeros_like(slope))


@pytest.mark.parametrize(("weight", "spreads"), [(0.1, True), (-0.1, False)])
def test_a_positive_entropy_weight_rewards_spread_and_a_negative_one_sharpens(weight, spreads):
    # The step's rule: loss -= entropy_weight * H. Two teachers, weights 0.6 and 0.4.
    logits = torch.tensor([[[0.4]], [[0.0]]], requires_grad=True)
    mask = torch.ones(1, 1, dtype=torch.bool)

    def gap(logits):
        weights = normalise_over_valid(logits, mask.expand(2, 1, 1))
        return weights, (weights[0] - weights[1]).item()

    weights, before = gap(logits)
    (slope,) = torch.autograd.grad(-weight * compute_entropy(weights, mask).sum(), logits)
    _, after = gap(logits - slope)
    assert (after < before) == spreads
    assert after != before


def test_imbalance_is_zero_for_equal_use_and_teachers_less_one_for_a_monopoly():
    mask = torch.tensor([[True, True], [True, True], [False, False]])
    weights = torch.tensor(
        [[[1.0, 0.0], [1.0, 1.0], [0.0, 0.0]], [[0.0, 1.0], [0.0, 0.0], [0.0, 0.0]]]
    )
    assert compute_imbalance(weights, mask).tolist() == [0, 1, 0]


@laws
def test_a_head_is_fused_of_the_teachers_that_hold_it(kind, build):
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(shape, generator=generator)

    fusion = move_routers(build(kind, teachers=2))
    own = KV(draw(2, 2, 6, 4), draw(2, 2, 6, 4), torch.ones(2, 6, dtype=torch.bool))
    targets = []
    for _ in range(2):
        held = torch.rand(2, 2, 6, generator=generator) < 0.6
        keys = draw(2, 2, 6, 4).masked_fill(~held[..., None], torch.nan)
        targets.append(KV(keys, keys, held.any(dim=1), held))
    fused, weights = fusion(own, targets, 0, 0.0)
    held = torch.stack([target.head_mask for target in targets])
    counted = (weights[:, :, None] * held).masked_fill(~held, 0)
    total = counted.sum(dim=0)
    expected = sum(
        (counted[n] / total.clamp(min=1e-30))[..., None] * target.keys.nan_to_num()
        for n, target in enumerate(targets)
    )
    torch.testing.assert_close(fused.keys, expected)
    assert torch.equal(fused.head_mask, (held & (weights > 0)[:, :, None]).any(dim=0))
    assert torch.equal(fused.mask, fused.head_mask.any(dim=1))
