"""Stages in turn."""

from functools import partial

import pytest
import torch

from kvdistill.errors import ConfigError
from kvdistill.fusion.fixed import Fixed
from kvdistill.fusion.learnable import Learnable
from kvdistill.fusion.similarity import Similarity
from kvdistill.fusion.staged import Staged

STAGES = {
    "fixed": partial(Fixed, weights=[0.5, 0.3, 0.2]),
    "similarity": partial(Similarity, metric="cosine", temperature=0.1, per="token"),
    "learnable": partial(
        Learnable, router="mlp", hidden=8, lr_scale=3.0, balance_weight=0.5, teacher_dropout=0.0
    ),
}
SHARES = {"fixed": 0.25, "similarity": 0.25, "learnable": 0.5}


@pytest.mark.parametrize(
    ("progress", "name"),
    [
        (0.0, "fixed"),
        (0.24, "fixed"),
        (0.25, "similarity"),
        (0.49, "similarity"),
        (0.5, "learnable"),
        (1.0, "learnable"),
    ],
)
def test_the_stage_follows_from_the_share_of_the_steps(build, scene, progress, name):
    own, targets = scene()
    fusion = build(Staged, stages=STAGES, shares=SHARES)
    fused, weights = fusion(own, targets, 0, progress)
    alone, alone_weights = fusion.stages[name](own, targets, 0, progress)
    torch.testing.assert_close(weights, alone_weights)
    torch.testing.assert_close(fused.keys, alone.keys)
    assert torch.equal(
        fusion.compute_penalty(weights, progress),
        fusion.stages[name].compute_penalty(weights, progress),
    )


@pytest.mark.parametrize(
    ("shares", "name"), [((1.0, 0.0, 0.0), "fixed"), ((0.0, 0.0, 1.0), "learnable")]
)
@pytest.mark.parametrize("progress", [0.0, 0.5, 1.0])
def test_a_stage_of_no_share_never_runs(build, shares, name, progress):
    fusion = build(Staged, stages=STAGES, shares=dict(zip(STAGES, shares, strict=True)))
    assert fusion.find_stage(progress) is fusion.stages[name]


def test_every_weight_has_a_gradient_in_every_stage_for_ddp(build, scene):
    own, targets = scene()
    fusion = build(Staged, stages=STAGES, shares=SHARES)
    for progress in (0.0, 0.3, 0.9):
        fusion.zero_grad()
        sum(fusion(own, targets, layer, progress)[0].keys.sum() for layer in (0, 2)).backward()
        assert all(weight.grad is not None for weight in fusion.parameters())
        moved = any(weight.grad.abs().sum() > 0 for weight in fusion.parameters())
        assert moved == (progress == 0.9)


def test_it_trains_as_its_stages_do(build):
    fusion = build(Staged, stages=STAGES, shares=SHARES)
    assert (fusion.trains, fusion.lr_scale) == (True, 3.0)
    still = build(Staged, stages={"fixed": STAGES["fixed"]}, shares={"fixed": 1.0})
    assert (still.trains, still.lr_scale) == (False, 1.0)


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ({"fixed": 1.0}, r"fusion\.shares names fixed, but .* fixed, similarity, learnable"),
        (SHARES | {"learnable": 0.6}, r"fusion\.shares=.* sum to 1, not 1\.1"),
        (SHARES | {"fixed": -0.25, "learnable": 1.0}, r"fusion\.shares=.* not be negative"),
    ],
)
def test_other_shares_are_refused(build, shares, message):
    with pytest.raises(ConfigError, match=message):
        build(Staged, stages=STAGES, shares=shares)
