"""Numbers and findings in words, the same in the page, the terminal and the files."""

from collections.abc import Sequence
from typing import Any

from kvdistill.report.table import DASH
from kvdistill.stats.study import MACRO
from kvdistill.stats.verdicts import Verdict

TASK_TITLES = {
    "gsm8k": "GSM8K", "math500": "MATH500", "bbh": "BBH", "gpqa": "GPQA",
    "truthfulqa": "TruthfulQA", "cmmlu": "CMMLU", "ceval": "C-Eval", MACRO: "average",
}  # fmt: skip
CLEAN_TITLE = "on clean items"
"""The average over items that no training text holds, which stands beside the average."""
MINUS, ARROW = "\u2212", "\u2192"


def title_tasks(endpoints: Sequence[str]) -> dict[str, str]:
    """Endpoint -> its name on axes and headings: known names, a prefix of all tasks left out."""
    tasks = [e for e in endpoints if e != MACRO]
    prefixes = {task.split("_", 1)[0] + "_" for task in tasks}
    # A single task keeps its name: with nothing beside it, its first word is no common prefix.
    common = len(prefixes) == 1 and len(tasks) > 1 and all("_" in task for task in tasks)
    prefix = prefixes.pop() if common else ""
    return {e: TASK_TITLES.get(e, e.removeprefix(prefix)) for e in endpoints}


def format_signed(points: float, digits: int = 1) -> str:
    """+1.2 or a typographic minus sign; never -0.0."""
    text = f"{points:+.{digits}f}"
    # What rounds to zero has no sign to report: -0.04 would read as a loss.
    if float(text) == 0:
        return f"{0:.{digits}f}"
    return text.replace("-", MINUS)


def format_p(p: float | None) -> str:
    """0.003, <0.001, or a dash."""
    if p is None:
        return DASH
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def format_interval(low: float | None, high: float | None, digits: int = 1) -> str:
    """[low, high], signed, in the unit given."""
    if low is None or high is None:
        return DASH
    return f"[{format_signed(low, digits)}, {format_signed(high, digits)}]"


def format_json_value(value: Any) -> str:
    """A JSON value for reading: thousands apart, four digits of a float, a dash for null."""
    if value is None:
        return DASH
    # Before int, of which bool is a subclass.
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.4g}" if isinstance(value, float) else str(value)


def format_bound(verdict: Verdict) -> str:
    """`at least +3.0 points`: what a claim expects."""
    claim = verdict.claim
    unit = verdict.measured.unit or "points"
    if claim.measure == "routing":
        return f"permutation p < {claim.bound:g}"
    word = "at most" if claim.at_most is not None else "at least"
    # Only a difference has a sign worth showing: a level or a number of tasks is plain.
    is_plain = claim.baseline is None or unit == "tasks"
    value = f"{claim.bound:g}" if is_plain else format_signed(claim.bound)
    return f"{word} {value} {unit}"


def format_measurement(verdict: Verdict) -> str:
    """The estimate of a claim with its interval, or why there is none."""
    measured = verdict.measured
    if measured.estimate is None:
        return measured.why
    if measured.unit == "p":
        return f"p {format_p(measured.estimate)}; {measured.why}"
    digits = 0 if measured.unit == "tasks" else 1
    is_plain = verdict.claim.baseline is None or measured.unit == "tasks"
    value = (
        f"{measured.estimate:.{digits}f}" if is_plain else format_signed(measured.estimate, digits)
    )
    low, high = measured.low, measured.high
    if low is not None and high is None:
        return f"{value} {measured.unit}, {format_signed(low, digits)} or more, no upper end"
    if low is None or high is None:
        return f"{value} {measured.unit}; no interval: {measured.why}"
    interval = (
        f"[{low:.{digits}f}, {high:.{digits}f}]" if is_plain else format_interval(low, high, digits)
    )
    return f"{value} {measured.unit} {interval}"
