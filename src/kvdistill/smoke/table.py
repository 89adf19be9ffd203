"""What a smoke job measured of each arm, beside what the plan foretold of it."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Column, Table

from kvdistill.plan.resources.foretold import Foretold
from kvdistill.smoke.judge import SmokeRun

PARTS = ("student", "teachers", "rooms", "data", "optimizer")
NOT_KNOWN = "n/a"


@dataclass(frozen=True)
class SmokeArm:
    """An arm of the command: what was foretold of it, and its smoke run."""

    run: SmokeRun
    foretold: Foretold
    planned_steps: int
    """Of the run that the command would start."""


def tabulate_smoke(arms: Sequence[SmokeArm]) -> Table:
    """A row an arm: rates and seconds are medians over the lines after the first."""
    table = Table(
        Column("arm", overflow="fold"), "tokens/s", "MFU", "real tokens", "step, s",
        "/".join(PARTS) + ", %", "peak GiB", "items", "whole run, h",
        title="Smoke: measured, and in brackets what the plan foretold at full length",
        caption="tokens/s: real ones of a process. MFU: 6 operations a weight and real token of "
        "the student, 2 of each teacher that reads, over the device's published 16-bit peak "
        "(train.peak_tflops states another). A CPU's peak is the whole process's, and not judged.",
    )  # fmt: skip
    for arm in arms:
        run, step_s = arm.run, arm.run.measure("step_s")
        peak = run.ledger.get("peak_bytes")
        gib = format_number(None if peak is None else peak / 2**30, "{:.1f}")
        hours = None if step_s is None else step_s * arm.planned_steps / 3600
        table.add_row(
            run.label,
            format_number(run.measure("tokens_per_s"), "{:,.0f}"),
            format_share(run.measure("mfu")),
            format_share(run.measure("real_share")),
            f"{format_number(step_s, '{:.3g}')} ({arm.foretold.step_s:.3g})",
            format_split(run),
            f"{gib} ({arm.foretold.peak_bytes / 2**30:.1f})",
            str(run.count_items()),
            format_number(hours, "{:.3g}"),
        )
    return table


def format_split(run: SmokeRun) -> str:
    """Shares of a step in percent, in the order of PARTS."""
    step_s = run.measure("step_s")
    if not step_s:
        return NOT_KNOWN
    seconds = [run.measure("seconds", part) or 0.0 for part in PARTS]
    return "/".join(f"{100 * each / step_s:.0f}" for each in seconds)


def format_number(value: float | None, form: str) -> str:
    """The number, or that it is not known."""
    return NOT_KNOWN if value is None else form.format(value)


def format_share(share: float | None) -> str:
    """A share in percent."""
    return NOT_KNOWN if share is None else f"{100 * share:.1f} %"
