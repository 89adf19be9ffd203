"""Bytes of a rank, against sums worked out by hand."""

import pytest

SHAPE = {
    "layers": 3, "hidden_size": 8, "intermediate_size": 16, "heads": 2, "kv_heads": 1,
    "head_dim": 4, "vocab_size": 10,
}  # fmt: skip
LAYER = 2 * 8 * (8 + 4) + 3 * 8 * 16
INNER = 2 * 8 + 2 * 8 + 2 * 4 + 3 * 16


def shape(**changed: int):
    from kvdistill.geometry import Geometry

    return Geometry(**{**SHAPE, **changed})


def test_a_trained_weight_takes_sixteen_bytes_in_float32() -> None:
    from kvdistill.plan.memory import RankBatch, student_bytes

    bytes_needed = student_bytes(shape(), 4, RankBatch(2, 5), compute_bytes=4, checkpointing=False)
    weights = 3 * LAYER + 10 * 8
    assert bytes_needed == 16 * weights + 10 * (3 * (INNER + 8) * 4 + 10 * (4 + 8))


def test_checkpointing_keeps_a_layers_input_and_one_layer_whole() -> None:
    from kvdistill.plan.memory import RankBatch, student_bytes

    whole, less = (
        student_bytes(shape(), 4, RankBatch(2, 5), compute_bytes=2, checkpointing=kept)
        for kept in (False, True)
    )
    assert whole - less == 10 * 2 * (3 * (INNER + 8) - (3 * 8 + INNER + 8))


@pytest.mark.parametrize(
    ("shard", "held"),
    [
        ("none", 2 * LAYER + 80),
        ("zero3", (2 * LAYER + 80) // 4 + LAYER),
        ("zero3_offload", LAYER),
    ],
)
def test_a_frozen_weight_lies_where_its_placement_says(shard: str, held: int) -> None:
    from kvdistill.plan.memory import RankBatch, teacher_bytes

    bytes_needed = teacher_bytes(
        shape(), 2, RankBatch(2, 5), deepest=1, read=2, shard=shard, ranks=4
    )
    assert bytes_needed == 2 * (held + 10 * (INNER + 8 + 2 * 2 * 4))


def test_a_large_vocabulary_is_the_piece_that_is_gathered() -> None:
    from kvdistill.plan.memory import RankBatch, teacher_bytes

    wide = shape(vocab_size=1000)
    bytes_needed = teacher_bytes(
        wide, 2, RankBatch(1, 1), deepest=0, read=0, shard="zero3_offload", ranks=4
    )
    assert bytes_needed == 2 * (8000 + INNER + 8)
