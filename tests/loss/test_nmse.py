"""The KV error on the fused target's own spread: comparable over sets of teachers."""

import pytest
import torch

from kvdistill.loss.mse import MSE
from kvdistill.loss.nmse import TargetNMSE, average_texts
from kvdistill.types import KV

SHAPE = (40, 2, 30, 8)  # texts, heads, tokens, dim
EVEN = {"keys": 1.0, "values": 1.0}


def draw_teachers(agreement: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Two teachers of unit variance whose elements correlate by `agreement`."""
    generator = torch.Generator().manual_seed(0)
    shared, one, other = (torch.randn(SHAPE, generator=generator) for _ in range(3))
    share, rest = agreement**0.5, (1 - agreement) ** 0.5
    return share * shared + rest * one, share * shared + rest * other


def measure(own: torch.Tensor, target: torch.Tensor, mask: torch.Tensor, weights=EVEN, split=1):
    """kv_nmse by text of one layer whose keys and values are alike, in `split` batches."""
    nmse = TargetNMSE(weights)
    for part in torch.arange(len(own)).chunk(split):
        pair = [KV(x[part], x[part], mask[part]) for x in (own, target)]
        nmse.add(0, *pair)
    return nmse.compute_by_text()


@pytest.mark.parametrize("agreement", [0.9, 0.5, 0.1])
def test_a_constant_student_scores_one_whatever_the_teachers_agreement(agreement) -> None:
    one, other = draw_teachers(agreement)
    target = (one + other) / 2
    mask = torch.ones(SHAPE[0], SHAPE[2], dtype=torch.bool)
    constant = target.mean(dim=(0, 2), keepdim=True).expand(SHAPE)
    comparable = average_texts(measure(constant, target, mask)["kv_nmse"])
    assert comparable == pytest.approx(1.0, abs=1e-6)
    # The trained loss divides by the mean of the teachers' spreads, and so falls with agreement.
    spread = (one.std() + other.std()) / 2
    trained = float(MSE()(constant, target, mask, spread).mean())
    assert trained == pytest.approx((1 + agreement) / 2, abs=0.02)


@pytest.mark.parametrize("agreement", [0.9, 0.5, 0.1])
def test_a_student_that_reproduces_a_share_of_the_target_scores_what_is_left(agreement) -> None:
    one, other = draw_teachers(agreement)
    target = (one + other) / 2
    mask = torch.ones(SHAPE[0], SHAPE[2], dtype=torch.bool)
    mean = target.mean(dim=(0, 2), keepdim=True)
    half = mean + (target - mean) * 0.5
    assert average_texts(measure(half, target, mask)["kv_nmse"]) == pytest.approx(0.25, abs=1e-5)
    assert average_texts(measure(target, target, mask)["kv_nmse"]) == 0


def test_batches_and_padding_change_nothing() -> None:
    one, other = draw_teachers(0.5)
    mask = torch.ones(SHAPE[0], SHAPE[2], dtype=torch.bool)
    mask[::3, 11:] = False
    whole = measure(other, one, mask)
    padded = [x.masked_fill(~mask[:, None, :, None], float("nan")) for x in (other, one)]
    in_parts = measure(*padded, mask, split=7)
    assert in_parts["kv_nmse"] == pytest.approx(whole["kv_nmse"], rel=1e-9)


def test_a_text_that_no_teacher_covers_has_none_and_does_not_count() -> None:
    one, other = draw_teachers(0.5)
    mask = torch.ones(SHAPE[0], SHAPE[2], dtype=torch.bool)
    mask[3] = False
    without = torch.arange(SHAPE[0]) != 3
    texts = measure(other, one, mask)["kv_nmse"]
    assert texts[3] is None
    alone = measure(other[without], one[without], mask[without])["kv_nmse"]
    assert [value for value in texts if value is not None] == pytest.approx(alone)


def test_a_target_that_does_not_vary_has_no_scale() -> None:
    mask = torch.ones(2, 3, dtype=torch.bool)
    assert measure(torch.randn(2, 1, 3, 4), torch.ones(2, 1, 3, 4), mask) == {}
    assert TargetNMSE(EVEN).compute_by_text() == {}


def test_keys_and_values_weigh_as_in_the_loss() -> None:
    one, other = draw_teachers(0.5)
    mask = torch.ones(SHAPE[0], SHAPE[2], dtype=torch.bool)
    nmse = TargetNMSE({"keys": 3.0, "values": 1.0})
    nmse.add(4, KV(other, one, mask), KV(one, one, mask))
    texts = nmse.compute_by_text()
    assert average_texts(texts["v_nmse"]) == 0
    expected = 0.75 * average_texts(texts["k_nmse"])
    assert average_texts(texts["kv_nmse"]) == pytest.approx(expected)
