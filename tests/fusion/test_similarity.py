"""Similarity routing against loops."""

import math

import pytest
import torch

from kvdistill.errors import ConfigError
from kvdistill.fusion.similarity import Similarity
from kvdistill.types import KV


def literal(own, targets, metric, temperature, per):
    """Weights at [teacher][sample][token], the obvious way."""

    def similarity(a, b):
        a, b = a.flatten().tolist(), b.flatten().tolist()
        dot = sum(x * y for x, y in zip(a, b, strict=True))
        if metric == "dot":
            return dot / math.sqrt(len(a))
        return dot / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))

    batch, seq = own.mask.shape
    weights = torch.zeros(len(targets), batch, seq)
    for b in range(batch):
        table = [
            {
                s: sum(
                    similarity(getattr(own, part)[b, :, s], getattr(target, part)[b, :, s]) / 2
                    for part in ("keys", "values")
                )
                for s in range(seq)
                if own.mask[b, s] and target.mask[b, s]
            }
            for target in targets
        ]
        if per == "layer":
            table = [{s: sum(row.values()) / len(row) for s in row} for row in table]
        for s in range(seq):
            powers = [math.exp(row[s] / temperature) if s in row else 0.0 for row in table]
            for t, power in enumerate(powers):
                weights[t, b, s] = power / sum(powers) if sum(powers) else 0.0
    return weights


@pytest.mark.parametrize("metric", ["cosine", "dot"])
@pytest.mark.parametrize("per", ["token", "layer"])
@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_the_literal_softmax(build, scene, metric, per, temperature):
    own, targets = scene()
    fusion = build(Similarity, metric=metric, temperature=temperature, per=per)
    _, weights = fusion(own, targets, 0, 0.0)
    torch.testing.assert_close(weights, literal(own, targets, metric, temperature, per))


def test_per_layer_gives_a_sample_one_weight_a_teacher(build, scene):
    own, targets = scene(cover=1)
    _, weights = build(Similarity, metric="cosine", temperature=0.1, per="layer")(
        own, targets, 0, 0.0
    )
    assert (weights == weights[:, :, :1]).all()
    assert (weights[:, 0] != weights[:, 1]).all()


def test_the_order_of_teachers_only_permutes_the_weights(build, scene):
    own, targets = scene()
    fusion = build(Similarity, metric="cosine", temperature=0.1, per="token")
    fused, weights = fusion(own, targets, 0, 0.0)
    moved, moved_weights = fusion(own, [targets[2], targets[0], targets[1]], 0, 0.0)
    torch.testing.assert_close(moved_weights, weights[[2, 0, 1]])
    torch.testing.assert_close(moved.keys, fused.keys)


def test_a_large_temperature_is_uniform_and_a_small_one_takes_the_most_similar(build, scene):
    own, targets = scene(cover=1)
    targets[1] = own
    hot = build(Similarity, metric="cosine", temperature=1e6, per="token")
    cold = build(Similarity, metric="cosine", temperature=1e-3, per="token")
    torch.testing.assert_close(hot(own, targets, 0, 0.0)[1], torch.full((3, 2, 6), 1 / 3))
    torch.testing.assert_close(cold(own, targets, 0, 0.0)[1][1], torch.ones(2, 6))


def test_uncentred_inputs_would_be_blind(build, scene):
    # Why both sides come centred: a constant of Qwen2's size makes every cosine about 1.
    own, targets = scene(cover=1)
    fusion = build(Similarity, metric="cosine", temperature=0.1, per="token")

    def add_constant(kv):
        return KV(kv.keys + 600, kv.values + 600, kv.mask)

    _, seeing = fusion(own, targets, 0, 0.0)
    _, blind = fusion(add_constant(own), [add_constant(target) for target in targets], 0, 0.0)
    assert (seeing - 1 / 3).abs().mean() > 0.2
    assert (blind - 1 / 3).abs().max() < 1e-3


def test_a_trained_target_cannot_buy_weight(build, scene):
    own, targets = scene()
    for target in targets:
        target.keys.requires_grad_()
    _, weights = build(Similarity, metric="cosine", temperature=0.1, per="token")(
        own, targets, 0, 0.0
    )
    assert not weights.requires_grad


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("metric", "euclid", r"fusion\.metric=euclid .* cosine, dot"),
        ("per", "head", r"fusion\.per=head .* token, layer"),
        ("temperature", 0.0, r"fusion\.temperature must be above 0, got 0"),
        ("temperature", -1.0, r"fusion\.temperature must be above 0, got -1"),
    ],
)
def test_other_settings_are_refused(build, field, value, message):
    fields = {"metric": "cosine", "temperature": 0.1, "per": "token", field: value}
    with pytest.raises(ConfigError, match=message):
        build(Similarity, **fields)
