"""Laws that hold for every distance."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kvdistill.loss.base import measure_heads
from kvdistill.loss.gram import Gram
from kvdistill.loss.mse import MSE
from kvdistill.loss.smooth_l1 import SmoothL1
from kvdistill.types import KV

DISTANCES = [MSE(), SmoothL1(beta=1.0), SmoothL1(beta=0.1), Gram()]
SCALE = torch.tensor(0.7)

laws = pytest.mark.parametrize("distance", DISTANCES, ids=str)


@laws
def test_a_target_is_at_no_distance_from_itself(distance, layer):
    own, _, mask = layer()
    assert torch.equal(distance(own, own.clone(), mask, SCALE), torch.zeros(3))


@laws
def test_different_layers_are_apart(distance, layer):
    assert (distance(*layer(), SCALE) > 0).all()


@laws
@pytest.mark.parametrize("poison", [torch.nan, torch.inf, 1e30])
def test_what_lies_under_the_mask_changes_neither_value_nor_gradient(distance, layer, poison):
    def run(fill):
        own, target, mask = layer()
        hidden = ~mask[:, None, :, None]
        own = own.masked_fill(hidden, fill).requires_grad_()
        target = target.masked_fill(hidden, -fill).requires_grad_()
        value = distance(own, target, mask, SCALE)
        return value.detach(), *torch.autograd.grad(value.sum(), (own, target))

    for clean, poisoned in zip(run(0.0), run(poison), strict=True):
        assert torch.equal(clean, poisoned)


@laws
def test_padding_added_on_the_right_changes_nothing(distance, layer):
    own, target, mask = layer()
    pad = torch.full((3, 2, 5, 4), torch.nan)
    longer = (torch.cat([own, pad], 2), torch.cat([target, pad], 2))
    longer_mask = torch.cat([mask, torch.zeros(3, 5, dtype=torch.bool)], 1)
    torch.testing.assert_close(
        distance(*longer, longer_mask, SCALE), distance(own, target, mask, SCALE)
    )


@laws
def test_samples_do_not_see_each_other(distance, layer):
    own, target, mask = layer()
    whole = distance(own, target, mask, SCALE)
    alone = [distance(own[i, None], target[i, None], mask[i, None], SCALE) for i in range(3)]
    torch.testing.assert_close(torch.cat(alone), whole)


@laws
def test_a_sample_with_no_valid_token_counts_nothing_and_has_no_gradient(distance, layer):
    own, target, mask = layer()
    own, mask[1] = own.requires_grad_(), False
    value = distance(own, target, mask, SCALE)
    (slope,) = torch.autograd.grad(value.sum(), own)
    assert value[1] == 0
    assert torch.equal(slope[1], torch.zeros_like(slope[1]))
    assert slope[0].abs().sum() > 0


@laws
def test_repeating_tokens_heads_or_width_keeps_the_mean(distance, layer):
    own, target, mask = layer()
    once = distance(own, target, mask, SCALE)
    twice = distance(own.repeat(1, 1, 2, 1), target.repeat(1, 1, 2, 1), mask.repeat(1, 2), SCALE)
    torch.testing.assert_close(twice, once)
    for times in ((1, 2, 1, 1), (1, 1, 1, 2)):
        wider = distance(own.repeat(times), target.repeat(times), mask, SCALE)
        torch.testing.assert_close(wider, once)


@laws
def test_the_scale_is_a_unit(distance, layer):
    own, target, mask = layer()
    torch.testing.assert_close(
        distance(10 * own, 10 * target, mask, 10 * SCALE), distance(own, target, mask, SCALE)
    )


@laws
def test_a_step_down_the_gradient_comes_closer(distance, layer):
    own, target, mask = layer()
    own.requires_grad_()
    before = distance(own, target, mask, SCALE)
    (slope,) = torch.autograd.grad(before.sum(), own)
    assert (distance(own - 1e-2 * slope, target, mask, SCALE) < before).all()


@laws
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_stays_finite_and_is_summed_in_single(distance, layer, dtype):
    # 300^2 * 24 elements is far beyond the largest float16, 65504.
    own, target, mask = layer()
    own, target = (300 * own).to(dtype).requires_grad_(), (-300 * target).to(dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = distance(own, target, mask, torch.tensor(300.0))
    (slope,) = torch.autograd.grad(value.sum(), own)
    assert value.dtype == torch.float32
    assert value.isfinite().all()
    assert slope.isfinite().all()
    exact = distance(own.double().float(), target.double().float(), mask, torch.tensor(300.0))
    torch.testing.assert_close(value, exact)


@settings(deadline=None, derandomize=True, max_examples=30)
@given(seed=st.integers(0, 1000), shape=st.tuples(*[st.integers(1, 5)] * 4))
def test_permuting_tokens_or_heads_together_changes_nothing(seed, shape):
    generator = torch.Generator().manual_seed(seed)
    own, target = (torch.randn(shape, generator=generator) for _ in range(2))
    mask = torch.rand(shape[0], shape[2], generator=generator) < 0.7
    tokens = torch.randperm(shape[2], generator=generator)
    heads = torch.randperm(shape[1], generator=generator)
    for distance in DISTANCES:
        value = distance(own, target, mask, SCALE)
        moved = distance(
            own[:, heads][:, :, tokens], target[:, heads][:, :, tokens], mask[:, tokens], SCALE
        )
        torch.testing.assert_close(moved, value)


@laws
def test_heads_that_hold_their_own_tokens_are_compared_at_these(distance, layer):
    own, target, mask = layer()
    held = torch.rand(own.shape[:3], generator=torch.Generator().manual_seed(0)) < 0.5
    held &= mask[:, None]
    held[:, 0, 0] = mask[:, 0]
    hidden = target.masked_fill(~held[..., None], torch.nan)
    kv = KV(hidden, hidden, mask & held.any(dim=1), held)
    measured = measure_heads(distance, own, hidden, kv, SCALE)
    for text in range(len(own)):
        heads = [
            distance(own[text : text + 1, h : h + 1], hidden[text : text + 1, h : h + 1],
                     held[text : text + 1, h], SCALE)[0]
            for h in range(own.shape[1])
        ]  # fmt: skip
        counts = held[text].sum(dim=1)
        expected = (torch.stack(heads) * counts).sum() / counts.sum().clamp(min=1)
        torch.testing.assert_close(measured[text], expected)


def test_the_mean_square_of_heads_is_over_all_elements_that_they_hold(layer):
    own, target, mask = layer()
    held = torch.rand(own.shape[:3], generator=torch.Generator().manual_seed(0)) < 0.5
    held &= mask[:, None]
    kv = KV(target, target, mask, held)
    measured = measure_heads(MSE(), own, target, kv, SCALE)
    for text in range(len(own)):
        rows = (own - target)[text][held[text]] / SCALE
        expected = rows.square().mean() if rows.numel() else torch.tensor(0.0)
        torch.testing.assert_close(measured[text], expected)


def weigh(mask, seed=3):
    return torch.rand(mask.shape, generator=torch.Generator().manual_seed(seed)) + 0.1


def compare_token_by_token(distance, own, target, mask, weights):
    """The weighted mean of each text, by the obvious loops over tokens, or over pairs of them."""
    means = []
    for text in range(len(own)):
        x, y = (part[text].transpose(0, 1).flatten(1) / SCALE for part in (own, target))
        valid, w = mask[text].nonzero().flatten().tolist(), weights[text]
        total = lost = 0.0
        if isinstance(distance, Gram):
            for i in valid:
                for j in valid:
                    gap = (x[i] @ x[j] - y[i] @ y[j]) / x.shape[1]
                    total, lost = total + w[i] * w[j], lost + w[i] * w[j] * gap**2
        else:
            for i in valid:
                token = torch.ones(1, 1, dtype=torch.bool)
                alone = distance(
                    x[i][None, None, None], y[i][None, None, None], token, torch.tensor(1.0)
                )
                total, lost = total + w[i], lost + w[i] * alone[0]
        means.append(lost / total)
    return torch.stack(means)


@laws
def test_a_token_counts_by_its_weight(distance, layer):
    own, target, mask = layer()
    weights = weigh(mask)
    # What stands under the mask is no weight of anything.
    given = weights.masked_fill(~mask, torch.nan)
    value = distance(own, target, mask, SCALE, given)
    torch.testing.assert_close(value, compare_token_by_token(distance, own, target, mask, weights))


@laws
def test_only_the_ratios_of_weights_matter_and_equal_ones_are_none(distance, layer):
    own, target, mask = layer()
    weights = weigh(mask)
    one = distance(own, target, mask, SCALE, weights)
    torch.testing.assert_close(distance(own, target, mask, SCALE, 7 * weights), one)
    equal = distance(own, target, mask, SCALE, torch.full_like(weights, 0.3))
    torch.testing.assert_close(equal, distance(own, target, mask, SCALE))


@laws
def test_a_token_of_no_weight_is_as_one_under_the_mask(distance, layer):
    own, target, mask = layer()
    mask[:, :2] = True
    weights = weigh(mask)
    weights[:, 1] = 0
    hidden = mask.clone()
    hidden[:, 1] = False
    one = distance(own, target, mask, SCALE, weights)
    torch.testing.assert_close(one, distance(own, target, hidden, SCALE, weights))
    nothing = distance(own, target, torch.zeros_like(mask), SCALE, weights)
    assert torch.equal(nothing, torch.zeros(3))


@laws
def test_heads_that_hold_their_own_tokens_weigh_them_alike(distance, layer):
    own, target, mask = layer()
    held = torch.rand(own.shape[:3], generator=torch.Generator().manual_seed(0)) < 0.5
    held &= mask[:, None]
    held[:, 0, 0] = mask[:, 0]
    weights = weigh(mask)
    kv = KV(target, target, mask & held.any(dim=1), held, token_weights=weights)
    measured = measure_heads(distance, own, target, kv, SCALE)
    for text in range(len(own)):
        parts = (own, target, held, weights)
        one, other, of_head, w = (part[text : text + 1] for part in parts)
        heads = [
            distance(one[:, h, None], other[:, h, None], of_head[:, h], SCALE, w)[0]
            for h in range(own.shape[1])
        ]
        counts = (held[text] * weights[text]).sum(dim=1)
        expected = (torch.stack(heads) * counts).sum() / counts.sum()
        torch.testing.assert_close(measured[text], expected)
