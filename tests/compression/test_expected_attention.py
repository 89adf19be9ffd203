"""Expected attention against its formula in numpy, rotation matrices written out."""

import numpy as np
import pytest
import torch

from kvdistill.compression.expected_attention import ExpectedAttention
from kvdistill.errors import ConfigError
from tests.compression.attention import softmax, to_numpy
from tests.compression.layers import DIM, GROUP, HEADS, layer, list_kept_tokens


def rotation(position, inv_freq):
    """The matrix that turns dimension i with i + half."""
    half, matrix = len(inv_freq), np.zeros((DIM, DIM))
    for i, angle in enumerate(position * inv_freq):
        j = i + half
        matrix[i, i] = matrix[j, j] = np.cos(angle)
        matrix[i, j], matrix[j, i] = -np.sin(angle), np.sin(angle)
    return matrix


@pytest.mark.parametrize(("sinks", "future"), [(4, 16), (0, 1), (2, 100)])
def test_the_score_is_that_of_the_formula(sinks, future):
    n = 25
    one = layer([n], n + 4)
    queries, keys = to_numpy(one.queries, n), to_numpy(one.rotated_keys, n)
    values, inv_freq = to_numpy(one.kv.values, n), one.rotary.inv_freq.numpy().astype(float)
    mean_rotation = np.mean([rotation(n + j, inv_freq) for j in range(future)], axis=0)
    expected = np.zeros((HEADS, n - sinks))
    for head in range(HEADS):
        k = keys[head, sinks:]
        for q in queries[head * GROUP : (head + 1) * GROUP, sinks:]:
            mean = mean_rotation @ q.mean(axis=0)
            centred = q - q.mean(axis=0)
            covariance = mean_rotation @ (centred.T @ centred / len(q)) @ mean_rotation.T
            logits = k @ mean / np.sqrt(DIM) + np.einsum("ni,ij,nj->n", k, covariance, k) / 2 / DIM
            expected[head] += softmax(logits) / GROUP
        expected[head] *= np.linalg.norm(values[head, sinks:], axis=1)
    score = ExpectedAttention(sinks=sinks, future=future).score_heads(one)[0]
    torch.testing.assert_close(
        score[:, sinks:n], torch.tensor(expected).float(), atol=1e-5, rtol=1e-4
    )


def test_sinks_stay_and_a_budget_below_them_keeps_the_first():
    assert {0, 1, 2, 3} <= set(list_kept_tokens(ExpectedAttention(keep=6), layer([30]))[0])
    assert list_kept_tokens(ExpectedAttention(keep=2), layer([30, 3])) == [[0, 1], [0, 1]]


@pytest.mark.parametrize(("field", "value"), [("future", 0), ("sinks", -1)])
def test_settings_that_cannot_be_are_refused(field, value):
    with pytest.raises(ConfigError, match=rf"compression\.{field} is {value} but must be"):
        ExpectedAttention(**{field: value})
