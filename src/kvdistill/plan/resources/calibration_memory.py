"""Bytes that calibration holds beside its models: sums over tokens, in float64.

Of every student layer's keys and values three sets are summed up (fitted, held out, shuffled), each
with the second moments of the teacher's one or two layers side by side, of the student's, and
between them (kv/moments.py).
"""

from collections.abc import Sequence

from kvdistill.geometry import Geometry
from kvdistill.layers.base import LayerPair

FLOAT64_BYTES = 8
SETS = 3


def count_moment_bytes(
    layer_pairs: Sequence[LayerPair], teacher: Geometry, student: Geometry, tokens: int
) -> int:
    """Of all pairs, and what adding a batch of so many tokens to one of them takes."""
    widths = [len(pair.teacher_layers) * teacher.kv_width for pair in layer_pairs]
    own = student.kv_width
    sums = sum(2 * SETS * (width * width + width * own + own * own) for width in widths)
    widest = max(widths)
    adding = tokens * (widest + own) + widest * widest
    return FLOAT64_BYTES * (sums + adding)
