"""Which points of a grid are tried: as many as there are trials, drawn at random."""

import hashlib
import itertools
import json
from collections.abc import Sequence
from typing import Any

from kvdistill.plan.identity import canonicalise
from kvdistill.plan.tuning.design import Grid

Point = dict[str, Any]
"""Setting -> its value."""


def list_points(grid: Grid) -> list[Point]:
    """Every combination of values, in the grid's order."""
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


def draw_points(grid: Grid, trials: int, draw: int) -> list[Point]:
    """`trials` points of the grid, none twice, in the order in which they are drawn.

    Each point has its place by a hash of itself and of `draw`: a random order that is the same on
    every machine and for every arm with this grid, and that other values do not disturb.
    """
    return sorted(list_points(grid), key=lambda point: hash_point(point, draw))[:trials]


def hash_point(point: Point, draw: int) -> str:
    """Sixty-four hex digits, as good as random."""
    text = json.dumps([draw, canonicalise(point)], sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def describe_point(point: Point, keys: Sequence[str] = ()) -> str:
    """`train.lr=0.001 loss.kv_weight=3.0`; of some settings alone, if they are named."""
    return " ".join(f"{key}={value}" for key, value in point.items() if not keys or key in keys)
