"""How fast each arm trained and what it took of a device, beside what its plan foretold."""

from collections.abc import Mapping
from typing import Any

from kvdistill.report.table import ReportTable, TableCell, make_number_cell, mean_or_none
from kvdistill.stats.study import Arm, Run

PARTS = {
    "student": "student, s", "teachers": "teachers, s", "rooms": "rooms, s", "data": "data, s",
    "optimizer": "optimiser, s",
}  # fmt: skip
"""Parts of a step, as curves.jsonl names them, and their columns."""
COLUMNS = (
    "arm", "tokens/s a process", "MFU, %", "real tokens, %", "step, s", *PARTS.values(),
    "peak GiB", "foretold GiB", "foretold step, s",
)  # fmt: skip
NOTE = (
    "Means over seeds and processes. MFU: 6 operations a weight and real token of the student, "
    "2 of each teacher that reads, over the published 16-bit peak of the device; a CPU has none "
    "unless train.peak_tflops states one. Foretold by plan.json at full length, for the kind of "
    "processor that it names; a CPU's peak is that of the whole process."
)


def tabulate_speed(arms: Mapping[str, Arm]) -> ReportTable:
    """A row a trained arm whose runs were measured."""
    rows = []
    for label, arm in arms.items():
        runs = [run for run in arm.distinct_runs() if read_speed(run)]
        if not runs:
            continue
        numbers = [
            average_rate(runs, "tokens_per_s"), average_rate(runs, "mfu", 100.0),
            average_rate(runs, "real_share", 100.0), average_rate(runs, "step_s"),
            *(average_part(runs, part) for part in PARTS),
            mean_or_none([to_gib(run.budget.get("peak_bytes")) for run in runs]),
            mean_or_none([to_gib(run.foretold.get("peak_bytes")) for run in runs]),
            mean_or_none([run.foretold.get("step_s") for run in runs]),
        ]  # fmt: skip
        rows.append([TableCell(label), *(make_number_cell(x, "{:,.3g}".format) for x in numbers)])
    return ReportTable("speed", "Speed and memory of training", list(COLUMNS), rows, NOTE)


def summarize_speed(arms: Mapping[str, Arm]) -> str:
    """One sentence of all measured runs: speed, MFU and the rooms' share; empty without any."""
    every = [read_speed(run) for arm in arms.values() for run in arm.distinct_runs()]
    speeds = [speed for speed in every if speed]
    if not speeds:
        return ""
    rates = [speed["tokens_per_s"] for speed in speeds]
    rooms = [100 * speed["seconds"]["rooms"] / speed["step_s"] for speed in speeds]
    known = [100 * speed["mfu"] for speed in speeds if speed["mfu"] is not None]
    mfu = f"MFU {format_range(known)} %" if known else "MFU n/a (no peak is known of the device)"
    return (
        f"Training read {format_range(rates)} real tokens a second and process, {mfu}; the rooms "
        f"between the models took {format_range(rooms)} % of a step."
    )


def read_speed(run: Run) -> Mapping[str, Any]:
    """What a run's ledger has of it; empty where that was not measured yet, or nothing trained."""
    speed: Mapping[str, Any] = run.budget.get("speed") or {}
    return speed if "step_s" in speed else {}


def average_rate(runs: list[Run], key: str, factor: float = 1.0) -> float | None:
    """Mean of a rate over runs; None where one has none."""
    mean = mean_or_none([read_speed(run)[key] for run in runs])
    return None if mean is None else factor * mean


def average_part(runs: list[Run], part: str) -> float | None:
    """Mean of a part's seconds a step."""
    return mean_or_none([read_speed(run)["seconds"].get(part) for run in runs])


def to_gib(size: int | float | None) -> float | None:
    """Bytes in GiB."""
    return None if size is None else size / 2**30


def format_range(values: list[float]) -> str:
    """`LEAST to MOST`, or the one number that both are."""
    least, most = f"{min(values):,.3g}", f"{max(values):,.3g}"
    return least if least == most else f"{least} to {most}"
