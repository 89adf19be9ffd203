"""Whether a GPU could run each setting's step, and how often the host would wait for it.

Tiny models, whose operations are those of large ones; the trainer's own step, then validation and
what searches for NaN.
"""

from collections.abc import Mapping

from tests.bench.gpu_ready.one_step import count_step
from tests.bench.gpu_ready.part import Part

TWO = ("a", "b")
STEPS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "sft": ((), ()),
    "one_teacher": (("a",), ("compression=keep_last",)),
    "two_teachers": (TWO, ("compression=keep_last",)),
    "two_teachers_learnable": (TWO, ("compression=keep_last", "fusion=learnable")),
}
"""The steps whose waits are bounded: teachers and overrides."""
SETTINGS = (
    *(f"compression={name}" for name in (
        "full", "keep_first", "uniform", "random", "streaming_llm", "knorm", "key_diff", "r_kv",
        "kava", "h2o", "snap_kv", "tova", "expected_attention",
    )),
    *(f"fusion={name}" for name in ("fixed", "similarity", "staged", "best_single")),
    *(f"position={name}" for name in ("post_rope", "rephase")),
    *(f"projection={name}" for name in ("ridge", "procrustes", "linear")),
    *(f"source={name}" for name in ("shuffled", "random")),
    *(f"kv={name}" for name in ("k", "v")),
    *(f"loss={name}" for name in ("smooth_l1", "gram")),
    *(f"loss/balance={name}" for name in ("decay", "gradient_norm")),
    *(f"layers={name}" for name in ("middle", "shallow")),
    "adapter=lora",
)  # fmt: skip
"""One at a time, beside the defaults."""
LONG = (30, 26, 21, 28)
"""Lengths of more and longer texts: the host may not wait more often for these."""


def measure(quick: bool) -> dict[str, float]:
    """Operations on mixed devices, waits of the host a step, and what they grow by."""
    figures: dict[str, float] = {"mixed_devices": 0}
    for name, (teachers, overrides) in STEPS.items():
        counts = count_step(overrides, teachers)
        figures[f"host_waits_{name}"] = sum(counts.waits.values())
        figures["mixed_devices"] += sum(counts.mixed.values())
    for setting in SETTINGS[:0] if quick else SETTINGS:
        figures["mixed_devices"] += sum(count_step((setting,), TWO).mixed.values())
    teachers, overrides = STEPS["two_teachers"]
    more = count_step(overrides, teachers, LONG)
    grown = sum(more.waits.values()) - figures["host_waits_two_teachers"]
    return figures | {"host_waits_growth": grown}


PART = Part(
    measure=measure,
    at_most={
        "mixed_devices": 0,
        "host_waits_sft": 8,
        "host_waits_one_teacher": 16,
        "host_waits_two_teachers": 16,
        "host_waits_two_teachers_learnable": 16,
        "host_waits_growth": 0,
    },
)
