"""Whether a GPU could run each setting's step, and how often the host would wait for it.

Tiny models, whose operations are those of large ones; the trainer's own step, then validation and
what searches for NaN.
"""

from collections.abc import Mapping

from tests.bench.gpu_ready.one_step import StepCounts, count_step
from tests.bench.gpu_ready.part import Part
from tests.bench.gpu_ready.settings import RECOMPUTED, TWO, Setting, list_settings

LEARNABLE = ("compression=kava", "fusion=learnable")
STEPS: Mapping[str, Setting] = {
    "sft": Setting(("arm=sft",), ()),
    "one_teacher": Setting(("compression=keep_last",)),
    "one_teacher_stored": Setting(("compression=keep_last", "source=store")),
    "two_teachers": Setting(("compression=keep_last",), TWO),
    "two_teachers_learnable": Setting(LEARNABLE, TWO),
    "two_teachers_packed": Setting(LEARNABLE, TWO, packed=True),
    "sft_recomputed": Setting(("arm=sft", RECOMPUTED), ()),
    "two_teachers_recomputed": Setting((*LEARNABLE, RECOMPUTED), TWO),
}
"""The steps whose waits are bounded."""
LONG = (30, 26, 21, 28)
"""Lengths of more and longer texts: the host may not wait more often for these."""
FEW_LAYERS = "layers=shallow"
"""Nor for all of the student's layers than for some of them."""


def measure(quick: bool) -> dict[str, float]:
    """Operations on mixed devices, waits of the host and launches a step, and what waits grow by.

    Raises RuntimeError naming each operation that a GPU would refuse.
    """
    figures: dict[str, float] = {}
    counted: dict[str, StepCounts] = {}
    for name, setting in STEPS.items():
        counted[name] = count_step(setting)
        figures[f"host_waits_{name}"] = counted[name].host_waits
        figures[f"tiny_launches_{name}"] = counted[name].launches
    longer = count_step(STEPS["two_teachers_learnable"], LONG)
    fewer = count_step(Setting((*LEARNABLE, FEW_LAYERS), TWO))
    whole = counted["two_teachers_learnable"].host_waits
    figures["host_waits_growth_texts"] = longer.host_waits - whole
    figures["host_waits_growth_layers"] = whole - fewer.host_waits
    rest = [] if quick else list_settings()
    every = {**counted, "longer": longer, "fewer": fewer}
    every |= {setting.name: count_step(setting) for setting in rest}
    figures["settings"] = len(every)
    figures["host_waits_most"] = max(each.host_waits for each in every.values())
    figures["mixed_devices"] = sum(sum(each.mixed.values()) for each in every.values())
    if figures["mixed_devices"]:
        raise RuntimeError(str({name: each.mixed for name, each in every.items() if each.mixed}))
    return figures


PART = Part(
    measure=measure,
    at_most={
        "mixed_devices": 0,
        "host_waits_sft": 8,
        "host_waits_sft_recomputed": 8,
        "host_waits_most": 16,
        "host_waits_growth_texts": 0,
        "host_waits_growth_layers": 0,
    }
    | {f"host_waits_{name}": 16 for name in STEPS if not name.startswith("sft")},
)
