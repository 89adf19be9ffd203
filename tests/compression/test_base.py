"""What every press must obey: its budget, padding, batches and the two source layers."""

from dataclasses import dataclass, replace
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kvdistill.compression.base import Compression
from kvdistill.compression.expected_attention import ExpectedAttention
from kvdistill.compression.full import Full
from kvdistill.compression.h2o import H2O
from kvdistill.compression.kava import Kava
from kvdistill.compression.keep_first import KeepFirst
from kvdistill.compression.keep_last import KeepLast
from kvdistill.compression.key_diff import KeyDiff
from kvdistill.compression.knorm import Knorm
from kvdistill.compression.r_kv import RKV
from kvdistill.compression.random import Random
from kvdistill.compression.snap_kv import SnapKV
from kvdistill.compression.streaming_llm import StreamingLLM
from kvdistill.compression.uniform import Uniform
from kvdistill.errors import ConfigError
from kvdistill.types import KV
from tests.compression.layers import GROUP, HEADS, layer, list_kept_tokens, select_tokens

BY_HEAD = [ExpectedAttention, H2O, Kava, KeyDiff, Knorm, RKV, SnapKV]
OWN = [partial(press, heads="own") for press in BY_HEAD]
PRESSES = [*BY_HEAD, KeepFirst, KeepLast, Random, StreamingLLM, Uniform]
presses = pytest.mark.parametrize("press", [*PRESSES, *OWN], ids=str)
by_head = pytest.mark.parametrize("press", BY_HEAD)


@dataclass(frozen=True, kw_only=True)
class ById(Compression):
    """Scores by token id, for the tests of the base."""

    def score(self, layer):
        return layer.tokens.ids.float()


@pytest.mark.parametrize("press", PRESSES)
def test_a_press_that_says_so_scores_every_layer_alike(press):
    one = layer([30, 20])
    other = replace(layer([30, 20], spread=9.0), tokens=one.tokens)
    other = replace(
        other,
        rotated_keys=other.rotated_keys * 2,
        kv=KV(-other.kv.keys, one.kv.values, one.kv.mask),
    )
    same = torch.equal(press(keep=5).score(one), press(keep=5).score(other))
    assert same == press.layer_independent


def with_ids(*ids):
    one = layer([len(ids)])
    return replace(one, tokens=replace(one.tokens, ids=torch.tensor([ids])))


def test_the_best_stay_and_ties_go_to_the_earlier():
    assert list_kept_tokens(ById(keep=3), with_ids(5, 1, 9, 5, 5)) == [[0, 2, 3]]


def test_two_source_layers_are_averaged():
    # Means 3, 4, 3.5: neither layer alone would keep the middle.
    assert list_kept_tokens(ById(keep=1), with_ids(6, 4, 2), with_ids(0, 4, 5)) == [[1]]


@pytest.mark.parametrize(
    ("keep", "length", "count"),
    [(0.5, 10, 5), (0.1, 10, 1), (0.01, 10, 1), (1.0, 10, 10), (4, 10, 4), (40, 10, 10), (1, 1, 1)],
)
@presses
def test_the_budget_is_a_ratio_or_a_number_of_tokens(press, keep, length, count):
    mask = select_tokens(press(keep=keep), layer([length]))
    assert (mask.sum(dim=-1) == count).all()


@pytest.mark.parametrize("keep", [0.0, -0.5, 1.5, 0, -3])
@presses
def test_a_budget_that_cannot_be_is_refused(press, keep):
    with pytest.raises(ConfigError, match=r"compression\.keep=.* must be a ratio in \(0, 1\]"):
        press(keep=keep)


@pytest.mark.integration
@presses
@settings(deadline=None, derandomize=True, max_examples=30)
@given(
    lengths=st.lists(st.integers(1, 24), min_size=1, max_size=4),
    extra=st.integers(0, 20),
    pad=st.sampled_from([0.0, 1.0, 1e4, float("nan"), float("inf")]),
    keep=st.sampled_from([1, 5, 0.3, 0.9]),
)
def test_neither_padding_nor_the_batch_changes_what_is_kept(press, lengths, extra, pad, keep):
    alone = [list_kept_tokens(press(keep=keep), layer([n], pad=0.0))[0] for n in lengths]
    assert (
        list_kept_tokens(press(keep=keep), layer(lengths, max(lengths) + extra, pad=pad)) == alone
    )


@presses
def test_an_empty_sample_keeps_nothing_and_harms_no_other(press):
    empty, other = select_tokens(press(keep=0.5), layer([0, 12]))
    assert not empty.any()
    assert torch.equal(other, select_tokens(press(keep=0.5), layer([12]))[0])


@presses
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_stays_finite(press, dtype):
    one = layer([20, 9], pad=0.0, spread=50.0)
    half = replace(one, rotated_keys=one.rotated_keys.to(dtype) * 100,
                   rotated_queries=one.rotated_queries.to(dtype) * 100)  # fmt: skip
    score = press(keep=0.5).score(half)
    mask = one.tokens.mask if score.dim() == 2 else one.tokens.mask[:, None].expand_as(score)
    assert score.float()[mask].isfinite().all()


def test_full_keeps_every_real_token_and_has_no_budget():
    assert list_kept_tokens(Full(), layer([3, 5])) == [[0, 1, 2], [0, 1, 2, 3, 4]]
    with pytest.raises(TypeError, match="keep"):
        Full(keep=0.5)


@by_head
def test_heads_that_keep_their_own_keep_those_that_they_score_highest(press):
    one = layer([30, 20])
    mine = press(keep=12, heads="own")
    scores, kept = mine.score_heads(one), select_tokens(mine, one)
    assert kept.shape == (2, HEADS, 30)
    for text, length in enumerate((30, 20)):
        for head in range(HEADS):
            row, mask = scores[text, head, :length], kept[text, head, :length]
            assert row[mask].min() >= row[~mask].max()
    # Else nothing would be tried: heads differ, and so does their mean.
    assert not torch.equal(kept[:, 0], kept[:, 1])


@by_head
def test_heads_that_agree_keep_what_their_mean_scores_highest(press):
    one = layer([20, 9])
    scores = press(keep=6).score_heads(one)
    torch.testing.assert_close(press(keep=6).score(one), scores.mean(dim=1), equal_nan=True)
    assert select_tokens(press(keep=6), one).shape == (2, 20)


@by_head
def test_heads_are_own_or_mean(press):
    with pytest.raises(ConfigError, match=r"compression\.heads=each is none of own, mean"):
        press(heads="each")


@by_head
def test_a_head_is_scored_by_itself(press):
    # The other head's keys, values and queries count for nothing.
    both = layer([20])
    first = replace(
        both,
        kv=KV(both.kv.keys[:, :1], both.kv.values[:, :1], both.kv.mask),
        rotated_keys=both.rotated_keys[:, :1],
        rotated_queries=both.rotated_queries[:, :GROUP],
        queries=both.queries[:, :GROUP],
    )
    scores = press(keep=6).score_heads(both)
    torch.testing.assert_close(press(keep=6).score_heads(first)[:, 0], scores[:, 0])


def test_only_presses_that_read_attention_ask_for_it():
    asking = {press.__name__ for press in [Full, *PRESSES] if press.needs_attention}
    assert asking == {press.__name__ for press in BY_HEAD} - {"Knorm"}
