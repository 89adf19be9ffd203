"""SnapKV against its listing in numpy, TOVA as one of its settings, and its limits."""

import numpy as np
import pytest
import torch

from kvdistill.compression.snap_kv import SnapKV
from kvdistill.errors import ConfigError
from tests.compression.attention import attend, to_numpy
from tests.compression.layers import GROUP, HEADS, layer, list_kept_tokens, make_text


def pool(row, kernel):
    """Means of `kernel` neighbours, zeros beyond the ends."""
    half = kernel // 2
    padded = np.pad(row, half)
    return np.array([padded[i : i + kernel].mean() for i in range(len(row))])


@pytest.mark.parametrize(("window", "kernel"), [(4, 5), (1, 1), (7, 3)])
@pytest.mark.parametrize("length", [12, 30])
def test_votes_are_those_of_the_listing(window, kernel, length):
    one = layer([length], length + 5)
    weights = attend(*(to_numpy(x, length) for x in (one.rotated_queries, one.rotated_keys)))
    votes = weights[:, -window:, :-window].mean(axis=1)
    pooled = np.array([pool(row, kernel) for row in votes])
    expected = pooled.reshape(HEADS, GROUP, -1).mean(axis=1)
    score = SnapKV(window=window, kernel=kernel).score_heads(one)[0]
    torch.testing.assert_close(
        score[:, : length - window], torch.tensor(expected).float(), atol=1e-6, rtol=1e-5
    )
    assert (score[:, length - window : length] > 1).all()


def test_tova_keeps_what_the_last_token_attends_to_over_all_heads():
    one = layer([20])
    weights = attend(*(to_numpy(x, 20) for x in (one.rotated_queries, one.rotated_keys)))
    best = np.argsort(-weights[:, -1, :-1].mean(axis=0))[:4]
    kept = list_kept_tokens(SnapKV(keep=5, window=1, kernel=1), one)[0]
    assert kept == sorted([*best.tolist(), 19])


def test_smoothing_keeps_the_neighbours_of_what_is_voted_for():
    keys = torch.zeros(1, 9, 2)
    keys[0, 3, 1] = 1.0
    queries = torch.tensor([0.0, 9.0]).expand(1, 9, 2)
    press = SnapKV(keep=4, window=1, kernel=3)
    assert list_kept_tokens(press, make_text(keys, queries)) == [[2, 3, 4, 8]]


def test_the_window_always_stays_and_a_small_budget_keeps_its_end():
    assert set(range(12, 20)) <= set(list_kept_tokens(SnapKV(keep=10), layer([20]))[0])
    assert list_kept_tokens(SnapKV(keep=3), layer([20, 5])) == [[17, 18, 19], [2, 3, 4]]


@pytest.mark.parametrize(("field", "value"), [("window", 0), ("kernel", 4), ("kernel", 0)])
def test_settings_that_cannot_be_are_refused(field, value):
    with pytest.raises(ConfigError, match=rf"compression\.{field} is {value} but must be"):
        SnapKV(**{field: value})
