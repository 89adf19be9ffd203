"""Bytes of models on a rank, against sums worked out by hand."""

from typing import Any

import pytest

SHAPE = {
    "layers": 3, "hidden_size": 8, "intermediate_size": 16, "heads": 2, "kv_heads": 1,
    "head_dim": 4, "vocab_size": 10,
}  # fmt: skip
LAYER = 2 * 8 * (8 + 4) + 3 * 8 * 16
WEIGHTS = 3 * LAYER + 10 * 8
KEPT = 3 * 8 + 4 * 4 + 2 * 8 + 4 * 16


def shape(**changed: int) -> Any:
    from kvdistill.geometry import Geometry

    return Geometry(**{**SHAPE, **changed})


def student(**changed: Any) -> Any:
    from kvdistill.plan.resources.model_memory import RankBatch, measure_student

    given = {"compute_bytes": 2, "checkpointing": True, **changed}
    return measure_student(shape(), 4, RankBatch(2, 5), **given)


def teacher(geometry: Any, **changed: Any) -> Any:
    from kvdistill.plan.resources.model_memory import RankBatch, measure_teacher

    given = {"deepest": 1, "shard": "none", "ranks": 4, **changed}
    return measure_teacher(geometry, 2, RankBatch(2, 5), **given)


def test_a_trained_weight_takes_sixteen_bytes_in_float32() -> None:
    assert student().states == 16 * WEIGHTS


def test_zero_divides_moments_and_gradients_and_keeps_whole_weights() -> None:
    # Two buckets of gradients on their way, of all weights here.
    whole = 3 * 4 * WEIGHTS
    assert student(zero_stage=2, ranks=4).states == whole + 16 * WEIGHTS // 4
    assert student(zero_stage=1, ranks=4).states == whole + 12 * WEIGHTS // 4 + 4 * WEIGHTS


def test_an_adapter_has_gradients_and_moments_alone() -> None:
    assert student(trained_share=0.5).states == 4 * WEIGHTS + 12 * WEIGHTS // 2


def test_the_residual_stream_is_float32_under_autocast() -> None:
    assert student().kept == 10 * (3 + 2) * 8 * 4
    layers = 3 * (KEPT * 2 + 5 * 8 * 4)
    assert student(checkpointing=False).kept == 10 * (2 * 8 * 4 + layers) + 2 * WEIGHTS


def test_autocast_holds_a_copy_of_all_weights_and_float32_none() -> None:
    assert student().cast_weights == 2 * WEIGHTS
    assert student(compute_bytes=4).cast_weights == 0


@pytest.mark.parametrize(
    ("shard", "held", "gathered"),
    [
        ("none", 2 * LAYER + 80, 0),
        ("zero3", (2 * LAYER + 80) // 4, LAYER),
        ("zero3_offload", 0, LAYER),
    ],
)
def test_a_frozen_weight_lies_where_its_placement_says(
    shard: str, held: int, gathered: int
) -> None:
    memory = teacher(shape(), shard=shard)
    assert memory.weights == 2 * held
    assert memory.running == 2 * (10 * (2 * 8 + 3 * 16) + gathered)


def test_over_nodes_each_holds_parts_of_all_weights() -> None:
    body = 2 * LAYER + 80
    memory = teacher(shape(), shard="zero3", ranks_per_node=2)
    assert memory.weights == 2 * (body // 4 + body // 2)


def test_a_large_vocabulary_is_the_piece_that_is_gathered() -> None:
    memory = teacher(shape(vocab_size=1000), shard="zero3_offload", deepest=0)
    assert memory.running == 2 * (10 * (2 * 8 + 3 * 16) + 8000)
