"""What a press takes to score a layer, by hand; the bench holds it against live bytes."""

import pytest

from kvdistill.geometry import Geometry
from kvdistill.plan.resources.model_memory import RankBatch
from kvdistill.plan.resources.score_memory import BLOCK_ELEMENTS, count_score_bytes

TEACHER = Geometry(
    layers=28, hidden_size=3584, intermediate_size=18944, heads=28, kv_heads=4, head_dim=128,
    vocab_size=152064, tied_embeddings=False,
)  # fmt: skip
KEYS = 4 * 32 * 512 * 4 * 128
"""Bytes of a layer's keys in float32."""


@pytest.mark.parametrize(
    ("press", "bytes_"),
    [
        ("Knorm", 0),
        ("SnapKV", 2 * KEYS),
        ("RKV", 2 * 4 * 32 * 4 * 512 * 512 + 3 * KEYS),
        # 28 heads of 512 x 512 scores are more than a block; it holds two, queries and keys.
        ("H2O", 2 * 4 * BLOCK_ELEMENTS + 2 * 7 * KEYS + 2 * KEYS),
        ("OfTheirOwn", 2 * 4 * BLOCK_ELEMENTS + 2 * 7 * KEYS + 2 * KEYS),
    ],
)
def test_a_press_holds_blocks_of_scores_and_copies_of_queries_and_keys(
    press: str, bytes_: int
) -> None:
    assert count_score_bytes(press, TEACHER, RankBatch(32, 512)) == bytes_
