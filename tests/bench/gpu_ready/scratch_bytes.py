"""Bytes of what presses and calibration compute with, against what the plan foretells of them.

Counted on meta tensors at true shapes: how much an operation holds does not depend on its contents.
"""

import torch

from kvdistill.compression.base import Compression
from kvdistill.compression.knorm import Knorm
from kvdistill.geometry import Geometry
from kvdistill.kv.moments import Moments
from kvdistill.layers.base import LayerPair
from kvdistill.plan.resources.calibration_memory import SETS, count_moment_bytes
from kvdistill.plan.resources.model_memory import RankBatch
from kvdistill.plan.resources.score_memory import count_score_bytes
from tests.bench.gpu_ready import launches
from tests.bench.gpu_ready.live_bytes import LiveBytes
from tests.bench.gpu_ready.part import Part

SCORED = {name: press for name, press in launches.PRESSES.items() if press is not Knorm}
"""Norms of keys take next to nothing."""


def measure(_: bool) -> dict[str, float]:
    """Plan over live, of every press and of calibration, by teacher."""
    figures = {}
    for teacher, heads in launches.HEADS.items():
        figures[f"plan_over_live_moments_{teacher}"] = measure_moments(*heads)
        for name, press in SCORED.items():
            ratio = measure_scores(press(keep=0.5), *heads)
            figures[f"plan_over_live_score_{name}_{teacher}"] = ratio
    return figures


def measure_scores(press: Compression, heads: int, query_heads: int) -> float:
    """Plan over live bytes of scoring a layer of 32 texts of 512 tokens, on meta tensors."""
    layer = launches.make_layer(heads, query_heads)
    assert layer.rotated_queries is not None
    counter = LiveBytes()
    with counter:
        for tensor in (layer.kv.keys, layer.rotated_queries, layer.tokens.mask, layer.tokens.ids):
            counter.add(tensor)
        captured = counter.live
        press.keep_best([press.score(layer).float()], layer.tokens.mask)
    geometry = make_geometry(heads, query_heads)
    batch = RankBatch(launches.TEXTS, launches.SEQ)
    planned = count_score_bytes(type(press).__name__, geometry, batch)
    return planned / (counter.peak - captured)


def measure_moments(heads: int, query_heads: int) -> float:
    """Plan over live bytes of calibration's sums, between a teacher's layers and the student's."""
    pairs = [LayerPair(layer, layer, layer + 1, 0.5) for layer in range(28)]
    teacher, student = make_geometry(heads, query_heads), make_geometry(2, 12)
    tokens = launches.TEXTS * launches.SEQ
    with LiveBytes() as counter:
        sums = [
            Moments.empty(2 * teacher.kv_width, student.kv_width, device="meta")
            for _ in range(2 * SETS * len(pairs))
        ]
        x, y = (torch.empty(tokens, w, device="meta") for w in (len(sums[0].x), len(sums[0].y)))
        sums[0].add(x, y)
    return count_moment_bytes(pairs, teacher, student, tokens) / counter.peak


def make_geometry(heads: int, query_heads: int) -> Geometry:
    """Of a model with these heads."""
    return Geometry(
        layers=29, hidden_size=64, intermediate_size=64, heads=query_heads, kv_heads=heads,
        head_dim=launches.DIM, vocab_size=512, tied_embeddings=True,
    )  # fmt: skip


BOUNDED = [
    f"plan_over_live_{what}_{teacher}"
    for teacher in launches.HEADS
    for what in ("moments", *(f"score_{name}" for name in SCORED))
]
PART = Part(
    measure=measure, at_most=dict.fromkeys(BOUNDED, 1.10), at_least=dict.fromkeys(BOUNDED, 0.90)
)
