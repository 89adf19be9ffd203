"""Which texts share a row, and where their tokens lie."""

import random

import numpy as np
import pytest
import torch

from kvdistill.data.packing import (
    LEAST_REAL,
    Packing,
    balance_rows,
    balance_width,
    compute_real_share,
)
from kvdistill.types import Tokens


def make_tokens(lengths, more=0):
    mask = torch.arange(max(lengths) + more) < torch.tensor(lengths)[:, None]
    ids = torch.arange(1, mask.numel() + 1).view(mask.shape)
    return Tokens(ids.masked_fill(~mask, 0), mask, mask)


@pytest.mark.parametrize("one_row", [False, True])
@pytest.mark.parametrize(
    "lengths", [[3, 5, 2, 7, 1], [9], [4, 4, 4, 4], [1, 60, 1, 1], [50, 50, 1], [0, 3]]
)
def test_every_token_of_every_text_is_computed_once_at_its_own_position(lengths, one_row):
    tokens = make_tokens(lengths, more=2)
    packed = Packing(one_row).pack_tokens(tokens, 0).packed
    own = packed.places[tokens.mask]
    assert len(own.unique()) == len(own) == sum(lengths)
    assert torch.equal(packed.ids.flatten()[own], tokens.ids[tokens.mask])
    at = torch.arange(tokens.ids.shape[1]).expand_as(tokens.ids)[tokens.mask]
    assert torch.equal(packed.positions.flatten()[own], at)
    rest = torch.ones(packed.ids.numel(), dtype=torch.bool)
    rest[own] = False
    assert not packed.ids.flatten()[rest].any()
    # What is left of a row begins anew, so no text sees it and it sees none.
    for row, is_rest in zip(packed.positions, rest.view(packed.ids.shape), strict=True):
        assert row[is_rest].tolist() == list(range(int(is_rest.sum())))


def test_no_text_is_divided_between_rows():
    lengths = [random.Random(3).randint(1, 30) for _ in range(40)]
    packed = Packing().pack_tokens(make_tokens(lengths), 0).packed
    width = packed.ids.shape[1]
    for places, length in zip(packed.places, lengths, strict=True):
        first = int(places[0])
        assert places[:length].tolist() == list(range(first, first + length))
        assert first // width == (first + length - 1) // width


def test_padding_of_the_batch_reads_its_own_text_and_its_gradient_is_spread():
    lengths = [2, 6, 3]
    tokens = make_tokens(lengths)
    packed = Packing().pack_tokens(tokens, 0).packed
    for places, length in zip(packed.places, lengths, strict=True):
        assert set(places.tolist()) == set(places[:length].tolist())
        assert max(np.bincount(places.numpy())) == -(-len(places) // length)


def test_unpacking_gives_back_the_batch():
    tokens = make_tokens([3, 5, 2, 7, 1])
    packed = Packing().pack_tokens(tokens, 0).packed
    x = torch.stack([packed.ids, -packed.ids]).permute(1, 0, 2)[..., None].float()
    unpacked = packed.unpack(x)
    assert torch.equal(unpacked[:, 0, :, 0][tokens.mask], tokens.ids[tokens.mask].float())
    assert torch.equal(unpacked[:, 1], -unpacked[:, 0])


def test_as_many_rows_are_made_as_leave_hardly_any_padding():
    draw = random.Random(0)
    for _ in range(50):
        lengths = [min(512, int(draw.lognormvariate(5, 0.6)) + 1) for _ in range(32)]
        rows = Packing().divide_into_rows(lengths)
        assert sorted(text for row in rows for text in row) == list(range(32))
        assert compute_real_share([lengths], Packing()) >= LEAST_REAL
        more = [balance_rows(lengths, count) for count in range(len(rows) + 1, 33)]
        for other in more:
            width = max(sum(lengths[text] for text in row) for row in other)
            assert sum(lengths) < LEAST_REAL * width * len(other)


def test_texts_of_one_length_keep_a_row_each_and_one_row_has_no_padding():
    assert Packing().divide_into_rows([5] * 8) == [[text] for text in range(8)]
    assert Packing(one_row=True).divide_into_rows([5, 3, 9]) == [[0, 1, 2]]
    assert compute_real_share([[5, 3, 9], [1, 1]], Packing(one_row=True)) == 1


def test_the_real_share_counts_padding_over_all_batches():
    assert compute_real_share([[4, 2], [1, 1]], None) == 8 / 10
    assert compute_real_share([[4, 2, 2]], Packing()) == 1


def test_a_width_is_known_without_its_rows():
    for seed in range(20):
        draw = random.Random(seed)
        lengths = [draw.randint(0, 30) for _ in range(draw.randint(1, 40))]
        for count in range(1, len(lengths) + 1):
            rows = balance_rows(lengths, count)
            width = max(sum(lengths[text] for text in row) for row in rows)
            assert balance_width(sorted(lengths, reverse=True), count) == width
