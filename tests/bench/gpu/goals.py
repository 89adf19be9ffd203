"""What the measured cases come to, and the goals that they are held against.

Nothing here imports torch: raw lines of another machine are judged on any.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.bench.gpu.cases import CASES

Record = Mapping[str, Any]
Records = Mapping[str, Record]
"""By case; `machine` is what they were measured on."""


def compute_mfu(records: Records, name: str) -> float | None:
    """Share of the device's peak that a case's model FLOPs reach; None where that is not known.

    As the platform's own MFU counts them, of peers too: real tokens, and nothing twice.
    """
    peak = records["machine"].get("peak_flops")
    record = find_measured(records, name)
    if record is None or not peak or "model_flops" not in record:
        return None
    return float(record["model_flops"] / record["step_s"] / peak)


def find_measured(records: Records, name: str) -> Record | None:
    """The record of a case, if it was measured."""
    record = records.get(name)
    return record if record is not None and record["status"] == "measured" else None


def compare_steps_of(records: Records, name: str, other: str) -> float | None:
    """Seconds of a step over another's."""
    one, two = find_measured(records, name), find_measured(records, other)
    return None if one is None or two is None else one["step_s"] / two["step_s"]


def list_mfus(records: Records, *, kv: bool) -> Iterator[float | None]:
    """Of every case of ours that fine-tunes alone, or with teachers that read with it."""
    for name, case in CASES.items():
        is_ours = case.part in ("steps", "rooms", "options")
        if is_ours and ("arm=sft" not in case.overrides) == kv:
            yield compute_mfu(records, name)


def list_mfu_ratios(records: Records) -> Iterator[float | None]:
    """MFU of the study's KV steps over that of the fine-tuning beside them."""
    for name, case in CASES.items():
        if case.headline and case.beside:
            own, plain = compute_mfu(records, name), compute_mfu(records, case.beside)
            yield None if own is None or plain is None else own / plain


def list_room_shares(records: Records) -> Iterator[float | None]:
    """Share of a step that passes between the models, as the platform measures it."""
    for name, case in CASES.items():
        record = find_measured(records, name)
        if case.headline and case.beside and record is not None:
            yield record.get("rooms_share")


def list_store_ratios(records: Records) -> Iterator[float | None]:
    """Steps from a store over fine-tuning's."""
    for name, case in CASES.items():
        if case.part == "store" and case.beside:
            yield compare_steps_of(records, name, case.beside)


def list_plan_errors(records: Records) -> Iterator[float | None]:
    """How far measured memory is from what the plan foretold; it foretells texts at full length."""
    for name, case in CASES.items():
        record = find_measured(records, name)
        if (
            record
            and record.get("plan_bytes")
            and record.get("peak_bytes")
            and case.texts == "full"
        ):
            yield abs(record["peak_bytes"] / record["plan_bytes"] - 1)


def read_noise(records: Records, *kinds: str) -> Iterator[float | None]:
    """The worst of these quantities of the comparison with the CPU."""
    record = find_measured(records, "correctness") or {}
    for kind in kinds:
        yield record.get(kind)


KV_NAMES = ("student_keys", "student_values", "target_keys", "target_values")


@dataclass(frozen=True)
class Goal:
    """One bound, and the figures of which the worst or the best is held against it."""

    title: str
    list_figures: Callable[[Records], Iterator[float | None]]
    at_most: float | None = None
    at_least: float | None = None
    best: bool = False
    """Whether one case is enough."""
    any_device: bool = False
    """Whether a CPU can be judged by it."""

    def compute_figure(self, records: Records) -> float | None:
        """None where nothing of it was measured, or not on a GPU."""
        if records["machine"]["device"] == "cpu" and not self.any_device:
            return None
        figures = [figure for figure in self.list_figures(records) if figure is not None]
        if not figures:
            return None
        return max(figures) if (self.at_least is None) != self.best else min(figures)

    def is_met(self, figure: float | None) -> bool | None:
        """None where there is no figure."""
        if figure is None:
            return None
        if self.at_most is not None:
            return figure <= self.at_most
        assert self.at_least is not None
        return figure >= self.at_least


def make_noise_goals(
    short: str, name: str, *, kv: float, gradient: float, loss: float
) -> dict[str, Goal]:
    """How far a dtype may be from float32 on the CPU; a CPU is judged by it too."""

    def make_goal(title: str, at_most: float, *kinds: str) -> Goal:
        kinds = tuple(f"{short}_{kind}" for kind in kinds)
        return Goal(title, lambda r: read_noise(r, *kinds), at_most=at_most, any_device=True)

    return {
        f"{short}_kv_noise": make_goal(f"K and V in {name}, noise over variance", kv, *KV_NAMES),
        f"{short}_gradient_noise": make_goal(
            f"gradients in {name}, noise over their square", gradient, "gradient"
        ),
        f"{short}_loss_difference": make_goal(
            f"losses in {name}, relative difference", loss, "ce", "kv"
        ),
    }


GOALS: dict[str, Goal] = {
    **make_noise_goals("fp32", "float32", kv=1e-8, gradient=1e-6, loss=1e-4),
    **make_noise_goals("bf16", "bfloat16", kv=1e-3, gradient=1e-2, loss=1e-2),
    "sft_mfu": Goal(
        "MFU of fine-tuning, best settings",
        lambda r: list_mfus(r, kv=False),
        at_least=0.45,
        best=True,
    ),
    "kv_mfu": Goal(
        "MFU of KV steps with teachers online, best settings",
        lambda r: list_mfus(r, kv=True),
        at_least=0.35,
        best=True,
    ),
    "kv_mfu_over_sft": Goal(
        "MFU of the study's KV steps over fine-tuning's, the worst", list_mfu_ratios, at_least=0.9
    ),
    "rooms_share": Goal(
        "share of a step between the models, the worst", list_room_shares, at_most=0.08
    ),
    "stored_over_sft": Goal(
        "a step from the store over fine-tuning's, the worst", list_store_ratios, at_most=1.10
    ),
    "plan_error": Goal(
        "measured memory against the plan, the worst", list_plan_errors, at_most=0.10
    ),
    "sft_over_trl": Goal(
        "fine-tuning over TRL's SFTTrainer on padded texts",
        lambda r: iter([compare_steps_of(r, "sft_mixed", "trl_sft_mixed")]),
        at_most=1.0,
    ),
}


def judge_goals(records: Records) -> dict[str, tuple[float | None, bool | None]]:
    """Goal -> (figure, whether it is met)."""
    figures = {name: goal.compute_figure(records) for name, goal in GOALS.items()}
    return {name: (figure, GOALS[name].is_met(figure)) for name, figure in figures.items()}


def summarize_goals(records: Records) -> dict[str, Any]:
    """One JSON object: every figure, its bound, whether it is met, and what was not measured."""
    judged = judge_goals(records)
    missed = {
        name: record["why"]
        for name, record in records.items()
        if record["status"] not in ("measured", "not judged")
    }
    failed = [name for name in missed if records[name]["status"] == "failed"]
    return {
        "name": "gpu",
        "figures": {name: figure for name, (figure, _) in judged.items()},
        "bounds": {
            "at_most": {n: goal.at_most for n, goal in GOALS.items() if goal.at_most is not None},
            "at_least": {
                n: goal.at_least for n, goal in GOALS.items() if goal.at_least is not None
            },
        },
        "met": {name: met for name, (_, met) in judged.items()},
        "not_measured": missed,
        "ok": not failed and all(met is not False for _, met in judged.values()),
    }
