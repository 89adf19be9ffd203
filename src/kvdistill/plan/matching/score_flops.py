"""What a press's scores of one teacher layer cost: operations, from the geometry alone.

Queries and keys come from the teacher's own forward and cost nothing more; what a press multiplies
them with is counted as plan/flops.py counts: 2 operations a product, no discount for a causal mask,
and none for norms, sums, softmax or sorting. A press that is not named here is counted as free.
"""

from collections.abc import Callable, Mapping
from typing import Any

from kvdistill.geometry import Geometry
from kvdistill.plan.flops import TokenLoad

Press = Mapping[str, Any]


def count_score_flops(compression: Press, teacher: Geometry, load: TokenLoad) -> int:
    """Of one layer's scores over a load; `compression` is the group's node."""
    count = COUNTS.get(compression["_target_"])
    return count(compression, teacher, load) if count else 0


def count_all_rows(_: Press, teacher: Geometry, load: TokenLoad) -> int:
    """Every token's query meets every key; of KaVa the answer's alone, taken as the whole text.

    The mean over queries is a product too: one more operation pair for each query and key.
    """
    return 2 * load.pairs * teacher.heads * (teacher.head_dim + 1)


def count_window_rows(press: Press, teacher: Geometry, load: TokenLoad) -> int:
    """The last `window` queries meet every key."""
    return 2 * press["window"] * load.tokens * teacher.heads * teacher.head_dim


def count_mean_over_window(press: Press, teacher: Geometry, load: TokenLoad) -> int:
    """The window's rows, and their mean as a product."""
    mean = 2 * press["window"] * load.tokens * teacher.heads
    return count_window_rows(press, teacher, load) + mean


def count_r_kv(press: Press, teacher: Geometry, load: TokenLoad) -> int:
    """The window's queries meet every key, and every key all others."""
    return count_window_rows(press, teacher, load) + 2 * load.pairs * teacher.kv_width


def count_expected_attention(_: Press, teacher: Geometry, load: TokenLoad) -> int:
    """Queries make a covariance for each head, which every key meets twice, and the mean once."""
    width = teacher.heads * teacher.head_dim
    return 2 * load.tokens * width * (2 * teacher.head_dim + 1)


COUNTS: Mapping[str, Callable[[Press, Geometry, TokenLoad], int]] = {
    "kvdistill.compression.expected_attention.ExpectedAttention": count_expected_attention,
    "kvdistill.compression.h2o.H2O": count_all_rows,
    "kvdistill.compression.kava.Kava": count_all_rows,
    "kvdistill.compression.r_kv.RKV": count_r_kv,
    "kvdistill.compression.snap_kv.SnapKV": count_mean_over_window,
}
