"""KaVa's eviction against its formula written out in loops, and its limits."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kvdistill.compression import heads
from kvdistill.compression.kava import Kava
from kvdistill.errors import ConfigError
from kvdistill.types import KV, Layer, Tokens
from tests.compression.layers import DIM, GROUP, HEADS, layer, list_kept_tokens


def softmax(values):
    top = max(values)
    exp = [math.exp(value - top) for value in values]
    return [value / sum(exp) for value in exp]


def cosine(a, b):
    return float(a @ b / ((a.norm() + 1e-8) * (b.norm() + 1e-8)))


def literal(queries, keys, answer, balance):
    """One text without padding: S = lambda I + (1 - lambda) R, with nothing vectorised."""
    n, score = keys.shape[1], torch.zeros(keys.shape[1])
    rows = [i for i in range(n) if answer[i]]
    for head in range(HEADS):
        k = keys[head].double()
        importance = [0.0] * n
        for g in range(GROUP):
            mean = [0.0] * n
            for i in rows:
                q = queries[head * GROUP + g, i].double()
                weights = softmax([float(q @ k[j]) / math.sqrt(DIM) for j in range(i + 1)])
                for j, weight in enumerate(weights):
                    mean[j] += weight / len(rows)
            importance = [max(a, b) for a, b in zip(importance, mean, strict=True)]
        others = [sum(cosine(k[i], k[j]) for j in range(n) if j != i) for i in range(n)]
        distinct = softmax([-value / n for value in others])
        for j in range(n):
            score[j] += (balance * importance[j] + (1 - balance) * distinct[j]) / HEADS
    return score


@settings(deadline=None, derandomize=True, max_examples=25)
@given(
    n=st.integers(1, 16),
    balance=st.floats(0, 1),
    answer_from=st.sampled_from([0.0, 0.5, 0.9]),
    spread=st.sampled_from([0.2, 1.0]),
)
def test_the_formula_written_out_in_loops_agrees(n, balance, answer_from, spread):
    one = layer([n], n + 3, spread=spread, answer_from=answer_from)
    expected = literal(
        one.rotated_queries[0, :, :n],
        one.rotated_keys[0, :, :n],
        one.tokens.answer[0, :n].tolist(),
        balance,
    )
    score = Kava(balance=balance).score(one)[0, :n]
    torch.testing.assert_close(score, expected, atol=2e-6, rtol=1e-4)


def text(keys, queries, answer):
    keys, queries = torch.tensor(keys)[None, None], torch.tensor(queries)[None, None]
    mask = torch.ones(1, keys.shape[2], dtype=torch.bool)
    return Layer(
        KV(keys, keys, mask), Tokens(mask.long(), mask, torch.tensor([answer])), queries, keys
    )


KEYS = [[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0]]
ANSWER = [False, False, False, True]


def test_at_lambda_0_the_odd_one_out_stays():
    one = text(KEYS, [[0.0, 9.0]] * 4, ANSWER)
    assert list_kept_tokens(Kava(keep=1, balance=0.0), one) == [[0]]


def test_at_lambda_1_what_the_answer_attends_to_stays():
    one = text(KEYS, [[9.0, 0.0]] * 3 + [[0.0, 9.0]], ANSWER)
    assert list_kept_tokens(Kava(keep=3, balance=1.0), one) == [[1, 2, 3]]


def test_rows_before_the_answer_do_not_vote():
    quiet, loud = [[0.0, 9.0]] * 4, [[99.0, 0.0]] * 3 + [[0.0, 9.0]]
    scores = [Kava(balance=1.0).score(text(KEYS, queries, ANSWER)) for queries in (quiet, loud)]
    torch.testing.assert_close(*scores)


def test_a_text_without_an_answer_is_scored_by_distinctness():
    one = text(KEYS, [[0.0, 9.0]] * 4, [False] * 4)
    assert list_kept_tokens(Kava(keep=1, balance=0.5), one) == [[0]]


@settings(deadline=None, derandomize=True, max_examples=20)
@given(limit=st.sampled_from([1, 100, 700, 5000]), n=st.integers(5, 20))
def test_blocks_of_any_size_give_the_same_score(limit, n):
    one, whole = layer([n, 20, 11], pad=0.0), Kava().score(layer([n, 20, 11], pad=0.0))
    mask = one.tokens.mask
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(heads, "CACHE_ELEMENTS", limit)
        torch.testing.assert_close(Kava().score(one)[mask], whole[mask])


def test_a_lambda_outside_0_and_1_is_refused():
    with pytest.raises(ConfigError, match=r"compression\.balance is 2\.0 but must be in \[0, 1\]"):
        Kava(balance=2.0)
