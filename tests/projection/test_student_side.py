"""The student is brought to its teacher."""

import pytest
import torch

from kvdistill.kv.moments import Moments, RunningR2
from kvdistill.layers.base import LayerPair
from kvdistill.projection.student_side import StudentSide
from kvdistill.types import KV


@pytest.fixture
def build(geometry):
    def make(sources, lr_scale=1.0):
        return StudentSide(
            student=geometry(),
            teacher=geometry(kv_heads=3),
            layer_pairs=sources,
            penalty=1e-4,
            lr_scale=lr_scale,
        )

    return make


def as_kv(rows, heads):
    x = rows[None].unflatten(2, (heads, 4)).transpose(1, 2)
    return KV(x, x, torch.ones(1, len(rows), dtype=torch.bool))


def test_the_fit_predicts_the_interpolated_teacher_from_the_student(build):
    # Student rows y decide both neighbouring teacher layers, each by a law of its own.
    generator = torch.Generator().manual_seed(0)
    y = torch.randn(500, 8, generator=generator)
    low, high = (y @ torch.randn(8, 12, generator=generator) for _ in range(2))
    projection, moments = build([LayerPair(1, 2, 3, 0.25)]), {}
    for layer, x in ((2, low), (3, high)):
        part = Moments.empty(12, 8)
        part.add(x, y)
        moments[1, layer] = (part, part)
    projection.fit(moments)
    own = projection.project_student(as_kv(y, 2), (1, 2))
    target = as_kv(0.75 * low + 0.25 * high, 3)
    agreement = RunningR2()
    agreement.add(own.keys, target.keys, own.mask[:, None])
    assert agreement.r2 > 0.999


def test_the_teacher_stands_still(build, layer, sources, moments, pairs):
    projection, kv = build(sources), layer(3)
    projection.fit(moments())
    assert projection.project_teacher(kv, pairs[1]) is kv
    assert not projection.in_student_space


def test_both_neighbours_share_the_map_of_their_student_layer(build, layer, sources, moments):
    projection, kv = build(sources), layer(2, fill=0.0)
    projection.fit(moments())
    assert torch.equal(
        projection.project_student(kv, (1, 2)).keys, projection.project_student(kv, (1, 3)).keys
    )


def test_frozen_it_still_passes_the_gradient_to_the_student(build, layer, sources, moments, pairs):
    projection, kv = build(sources, lr_scale=0.0), layer(2, fill=0.0)
    projection.fit(moments())
    kv.keys.requires_grad_()
    projection.project_student(kv, pairs[0]).keys.sum().backward()
    assert kv.keys.grad.abs().sum() > 0
    assert all(weight.grad is None for weight in projection.parameters())
