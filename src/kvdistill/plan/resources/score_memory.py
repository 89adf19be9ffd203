"""Bytes that a compression takes to score one teacher layer, beside what capture holds.

A press works on blocks of at most BLOCK_ELEMENTS numbers in float32. How many of which it holds at
once was read off its operations and is held against them (`python -m tests.bench.gpu_ready`).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from kvdistill.geometry import Geometry
from kvdistill.plan.resources.model_memory import FLOAT32_BYTES, RankBatch

BLOCK_ELEMENTS = 2**27
"""512 MiB. A GPU has no use for less: every block costs it a dozen launches."""


@dataclass(frozen=True, kw_only=True)
class ScoreCopies:
    """How many of these a press holds in float32 where it holds most."""

    query_scores: int = 0
    """Of every query head, token by token."""
    key_scores: int = 0
    """The same of every KV head."""
    queries: int = 0
    keys: int = 0


COPIES: Mapping[str, ScoreCopies] = {
    "RKV": ScoreCopies(key_scores=2, keys=3),
    "Kava": ScoreCopies(query_scores=2, queries=2, keys=2),
    "H2O": ScoreCopies(query_scores=2, queries=2, keys=2),
    "SnapKV": ScoreCopies(keys=2),
    "ExpectedAttention": ScoreCopies(queries=4, keys=3),
    "KeyDiff": ScoreCopies(keys=4),
    "Knorm": ScoreCopies(),
}
MOST = COPIES["H2O"]
"""Of a press that is not named here."""


def count_score_bytes(compression: str, teacher: Geometry, batch: RankBatch) -> int:
    """Of one layer of a batch at its highest; `compression` is the class, which scores layers."""
    copies = COPIES.get(compression, MOST)
    numbers = batch.tokens * teacher.head_dim
    return FLOAT32_BYTES * (
        copies.query_scores * min(BLOCK_ELEMENTS, batch.tokens * batch.seq_len * teacher.heads)
        + copies.key_scores * min(BLOCK_ELEMENTS, batch.tokens * batch.seq_len * teacher.kv_heads)
        + copies.queries * min(BLOCK_ELEMENTS, numbers * teacher.heads)
        + copies.keys * min(BLOCK_ELEMENTS, numbers * teacher.kv_heads)
    )
