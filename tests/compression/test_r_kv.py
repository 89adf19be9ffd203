"""R-KV against its code written out in loops, its limits and its memory."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kvdistill.compression import heads
from kvdistill.compression.r_kv import RKV, score_redundancy
from kvdistill.errors import ConfigError
from kvdistill.types import KV, Layer, Tokens
from tests.compression.layers import DIM, GROUP, HEADS, layer, list_kept_tokens, select_tokens
from tests.compression.peak_memory import PeakMemory


def softmax(values):
    top = max(values)
    exp = [math.exp(value - top) for value in values]
    return [value / sum(exp) for value in exp]


def cosine(a, b):
    return float(a @ b / ((a.norm() + 1e-8) * (b.norm() + 1e-8)))


def literal(queries, keys, balance, window, kernel, threshold):
    """One text without padding, as rkv/utils.py has it, with nothing vectorised."""
    n, total = keys.shape[1], torch.zeros(keys.shape[1] - window)
    for head in range(HEADS):
        k = keys[head].double()
        importance = [0.0] * (n - window)
        for row in range(n - window, n):
            logits = [
                max(
                    float(queries[head * GROUP + g, row].double() @ k[j]) / math.sqrt(DIM)
                    for g in range(GROUP)
                )
                for j in range(n - window)
            ]
            for j, weight in enumerate(softmax(logits)):
                importance[j] += weight / window
        half = kernel // 2
        pooled = [max(importance[max(0, j - half) : j + half + 1]) for j in range(n - window)]
        c = [[0.0 if i == j else cosine(k[i], k[j]) for j in range(n)] for i in range(n)]
        for i in range(n):
            copies = [j for j in range(n) if c[i][j] > threshold]
            c[i][max(copies, default=0)] = 0.0
        repeated = softmax([sum(c[i][j] for i in range(n)) / n for j in range(n)])
        for j in range(n - window):
            total[j] += (balance * pooled[j] - (1 - balance) * repeated[j]) / HEADS
    return total


@settings(deadline=None, derandomize=True, max_examples=25)
@given(
    n=st.integers(5, 24),
    balance=st.floats(0, 1),
    window=st.integers(1, 4),
    kernel=st.sampled_from([1, 3, 7]),
    threshold=st.sampled_from([0.0, 0.3, 0.5]),
    spread=st.sampled_from([0.2, 1.0]),
)
def test_the_code_written_out_in_loops_agrees(n, balance, window, kernel, threshold, spread):
    one = layer([n], n + 3, spread=spread)
    press = RKV(balance=balance, window=window, kernel=kernel, threshold=threshold)
    score = press.score(one)[0]
    expected = literal(
        one.rotated_queries[0, :, :n],
        one.rotated_keys[0, :, :n],
        balance,
        window,
        kernel,
        threshold,
    )
    torch.testing.assert_close(score[: n - window], expected, atol=2e-6, rtol=1e-4)
    assert (score[n - window : n] > 1).all()


def text(keys, queries=None):
    """One text of one head."""
    keys = torch.tensor(keys)[None, None]
    queries = torch.zeros_like(keys) if queries is None else torch.tensor(queries)[None, None]
    mask = torch.ones(1, keys.shape[2], dtype=torch.bool)
    return Layer(KV(keys, keys, mask), Tokens(mask.long(), mask, mask), queries, keys)


def test_at_lambda_0_the_repeated_key_goes_first():
    # Tokens 1, 2 and 3 say the same; of a row's copies only the last is not counted.
    keys = [[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0], [1.0, 1.0]]
    one = text(keys, queries=[[0.0, 9.0]] * 5)  # the queries look at the repeated ones
    press = RKV(keep=2, balance=0.0, window=1, kernel=1, threshold=0.9)
    assert list_kept_tokens(press, one) == [[0, 4]]


def test_at_lambda_1_only_attention_counts():
    keys = [[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.0, 1.1], [1.0, 1.0]]
    press = RKV(keep=2, balance=1.0, window=1, kernel=1, threshold=0.9)
    assert list_kept_tokens(press, text(keys, queries=[[9.0, 0.0]] * 4 + [[0.0, 9.0]])) == [[3, 4]]


def test_max_pooling_keeps_the_neighbours_of_what_is_attended_to():
    keys = [[0.0, 0.0]] * 3 + [[0.0, 1.0]] + [[0.0, 0.0]] * 4
    press = RKV(keep=4, balance=1.0, window=1, kernel=3)
    assert list_kept_tokens(press, text(keys, queries=[[0.0, 9.0]] * 8)) == [[2, 3, 4, 7]]


def test_a_row_without_a_near_copy_spares_column_0_as_in_the_authors_code():
    keys = torch.tensor([[[[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]]])
    mask = torch.ones(1, 3, dtype=torch.bool)
    half = math.sqrt(0.5)
    # Nothing exceeds 0.99: column 0 counts for nothing; column 1 keeps rows 0 and 2.
    expected = softmax([0.0, 2 * half / 3, half / 3])
    torch.testing.assert_close(score_redundancy(keys, mask, 0.99)[0, 0], torch.tensor(expected))


def test_the_window_always_stays_and_a_small_budget_keeps_its_end():
    assert set(range(12, 20)) <= set(list_kept_tokens(RKV(keep=10), layer([20]))[0])
    assert list_kept_tokens(RKV(keep=3), layer([20, 5])) == [[17, 18, 19], [2, 3, 4]]


@pytest.mark.parametrize("pad", [0.0, 7.0, float("nan")])
def test_padding_never_wins_a_slot(pad):
    mask = select_tokens(RKV(keep=0.3), layer([30, 9, 4], 60, pad=pad))
    assert mask.sum(dim=1).tolist() == [9, 3, 1]
    assert not mask[0, 30:].any()


@settings(deadline=None, derandomize=True, max_examples=20)
@given(limit=st.sampled_from([1, 100, 700, 5000]), n=st.integers(5, 20))
def test_blocks_of_any_size_give_the_same_score(limit, n):
    one, whole = layer([n, 20, 11]), RKV().score(layer([n, 20, 11]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(heads, "CACHE_ELEMENTS", limit)
        torch.testing.assert_close(RKV().score(one), whole)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_4096_tokens_need_at_most_16_mib_beyond_the_inputs(dtype):
    generator = torch.Generator().manual_seed(0)
    keys = torch.randn(1, 2, 4096, 128, generator=generator).to(dtype)
    queries = torch.randn(1, 8, 4096, 128, generator=generator).to(dtype)
    mask = torch.ones(1, 4096, dtype=torch.bool)
    one = Layer(KV(keys, keys, mask), Tokens(mask.long(), mask, mask), queries, keys)
    with PeakMemory() as peak:
        select_tokens(RKV(keep=64), one)
    assert 2**20 < peak.most <= 16 * 2**20  # the lower bound: the meter does measure


@pytest.mark.parametrize(
    ("field", "value"),
    [("balance", 1.1), ("balance", -0.1), ("threshold", -0.5), ("window", 0), ("kernel", 4)],
)
def test_settings_that_cannot_be_are_refused(field, value):
    with pytest.raises(ConfigError, match=rf"compression\.{field} is {value} but must be"):
        RKV(**{field: value})


def test_scores_do_not_depend_on_values_or_on_unrotated_keys():
    one = layer([20])
    other = replace(one, kv=KV(one.kv.keys * 3, one.kv.values * 5, one.kv.mask))
    assert torch.equal(RKV().score(one), RKV().score(other))
