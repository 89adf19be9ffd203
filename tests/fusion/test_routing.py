"""Weights by task, teacher and layer."""

import json

import pytest
import torch

from kvdistill.fusion.routing import Routing


def test_means_by_eye():
    routing = Routing(teachers=["a", "b"], layers=[0, 5])
    first = torch.tensor([[[0.2, 1.0], [0.8, 0.0]], [[0.5, 0.5], [0.5, 0.5]]])
    routing.add_batch(first, ["maths", "logic"])
    routing.add_batch(torch.tensor([[[0.4], [0.6]], [[0.0], [0.0]]]), ["maths"])
    table = routing.to_table()
    assert table["logic"] == {"a": {"0": 1.0, "5": 0.5}, "b": {"0": 0.0, "5": 0.5}}
    # Layer 5 of the third sample has no valid token: it does not pull the mean down.
    assert table["maths"]["a"] == pytest.approx({"0": 0.3, "5": 0.5})
    assert table["maths"]["b"] == pytest.approx({"0": 0.7, "5": 0.5})


def test_the_table_does_not_depend_on_batches_and_sums_to_one():
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(3, 2, 12, generator=generator).softmax(dim=1)
    tasks = [f"task{i % 3}" for i in range(12)]
    whole, parts = (Routing(teachers=["a", "b"], layers=[0, 1, 2]) for _ in range(2))
    whole.add_batch(weights, tasks)
    for start in range(0, 12, 5):
        parts.add_batch(weights[:, :, start : start + 5], tasks[start : start + 5])
    for task, by_teacher in whole.to_table().items():
        for layer in ("0", "1", "2"):
            assert by_teacher["a"][layer] + by_teacher["b"][layer] == pytest.approx(1)
        for teacher, by_layer in by_teacher.items():
            assert parts.to_table()[task][teacher] == pytest.approx(by_layer)


def test_a_layer_that_no_sample_covers_is_left_out_rather_than_nan():
    routing = Routing(teachers=["a"], layers=[0, 1])
    routing.add_batch(torch.tensor([[[1.0]], [[0.0]]]), ["maths"])
    assert routing.to_table() == {"maths": {"a": {"0": 1.0}}}
    json.dumps(routing.to_table(), allow_nan=False)
