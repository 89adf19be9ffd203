"""Moments of rows whose missing heads are filled with means, against the filled rows themselves."""

import pytest
import torch

from kvdistill.kv.calibration import Calibration
from kvdistill.kv.missing_heads import (
    append_held,
    compute_held_means,
    compute_held_share,
    fill_with_means,
)
from kvdistill.kv.moments import Moments

HEADS, DIM = 3, 4


@pytest.mark.parametrize("layers", [1, 2])
def test_filled_moments_are_those_of_filled_rows(layers):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 50, layers, HEADS, DIM, generator=generator) + 30
    y = torch.randn(100, 5, generator=generator)
    held = torch.rand(2, HEADS, 50, generator=generator) < 0.6
    by_token = held.transpose(1, 2)[:, :, None, :, None]
    zeroed = (x * by_token).flatten(2)
    summed = Moments.empty(layers * HEADS * DIM + HEADS, 5)
    summed.add(append_held(zeroed, held).flatten(0, 1), y)

    count = by_token.sum(dim=(0, 1))
    means = (x.double() * by_token).sum(dim=(0, 1)) / count
    filled = torch.where(by_token, x.double(), means).flatten(2).flatten(0, 1)
    literal = Moments.empty(layers * HEADS * DIM, 5)
    literal.add(filled, y)

    own = compute_held_means(summed, HEADS, layers)
    torch.testing.assert_close(own, means.flatten())
    for a, b in zip(
        vars(fill_with_means(summed, own, layers)).values(), vars(literal).values(), strict=True
    ):
        torch.testing.assert_close(a, b)
    assert compute_held_share(summed, HEADS) == pytest.approx(float(held.double().mean()))


def test_a_head_that_holds_nothing_has_a_mean_of_zero():
    held = torch.tensor([[[True, True], [False, False]]])
    x = torch.tensor([[[3.0, 0.0], [5.0, 0.0]]])
    summed = Moments.empty(4, 1)
    summed.add(append_held(x, held)[0], torch.ones(2, 1))
    assert compute_held_means(summed, 2, 1).tolist() == [4.0, 0.0]


def test_the_share_that_heads_hold_is_read_as_it_was_written(tmp_path):
    def make(**held):
        parts = [{3: (Moments.empty(2, 2), Moments.empty(2, 2))} for _ in range(3)]
        return Calibration(*parts, **held)

    make(held={3: 0.625}).save(tmp_path)
    assert Calibration.load(tmp_path).held == {3: 0.625}
    make().save(tmp_path)
    assert Calibration.load(tmp_path).held == {}
