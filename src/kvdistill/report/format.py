"""Numbers and findings in words, the same in the page, the terminal and the files."""

from collections.abc import Sequence
from typing import Any

from kvdistill.report.table import DASH
from kvdistill.stats.compare import UNPAIRED, Difference
from kvdistill.stats.seed_tests import MISSING, OK, format_stars
from kvdistill.stats.study import MACRO
from kvdistill.stats.summary import Cell
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


def format_significance_line(name: str, baseline: Cell, arm: Cell, difference: Difference) -> str:
    """`GSM8K: 68.5+-1.2 -> 75.3+-0.9 (p=0.003 ***)`, or the named reason for no p value."""
    test = difference.seeds
    if difference.status in (MISSING, UNPAIRED) or test is None:
        return f"{name}: {difference.status}: {difference.why}"
    values = f"{name}: {baseline.text()} {ARROW} {arm.text()}"
    if test.status != OK:
        return f"{values} ({difference.status})"
    p = format_p(test.p)
    equal = "" if p.startswith("<") else "="
    text = f"{values} (p{equal}{p} {format_stars(test.p)}".rstrip()
    adjusted_p = difference.adjusted.get("seeds")
    return f"{text}; adjusted p {format_p(adjusted_p)})" if adjusted_p is not None else f"{text})"


def describe_difference(
    arm: str, baseline: str, difference: Difference, detect: float | int
) -> str:
    """The macro average's difference in one or two sentences.

    `detect` is the difference in points that a study of enough seeds should find.
    """
    if difference.estimate is None:
        reason = f"{difference.status.capitalize()}: {difference.why}."
        return f"{arm} cannot be compared with {baseline}. {reason}"
    side = "above" if difference.estimate > 0 else "below"
    head = f"{arm} scores {abs(100 * difference.estimate):.1f} points {side} {baseline}"
    if difference.recipe is None:
        return describe_without_recipe(head, difference)
    low, high = 100 * difference.recipe.low, 100 * difference.recipe.high
    conclusion = "A difference is shown" if low > 0 or high < 0 else "Inconclusive"
    interval = format_interval(low, high)
    parts = [f"{head}, interval {interval} over new seeds and items. {conclusion}"]
    if difference.same_sign:
        parts.append(f"{difference.same_sign[0]} of {difference.same_sign[1]} seeds on that side")
    if difference.detectable is not None:
        limit = f"{100 * difference.detectable:.1f}"
        parts.append(f"differences under {limit} points would mostly be missed")
    text = "; ".join(parts) + "."
    if difference.seeds_needed is None:
        return f"{text} To find {detect:g} point, more items are needed, not only more seeds."
    return f"{text} To find {detect:g} point, {difference.seeds_needed} seeds are needed."


def describe_without_recipe(head: str, difference: Difference) -> str:
    """The sentence where there are too few seeds for an interval over new ones."""
    item = difference.item
    if item is None or item.se == 0:
        return f"{head}: {difference.status}."
    return (
        f"{head} for these checkpoints ({format_interval(100 * item.low, 100 * item.high)} over "
        f"new items). No claim about the recipe: {difference.status}."
    )


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
    if low is None or high is None:
        return f"{value} {measured.unit}; no interval: {measured.why}"
    interval = (
        f"[{low:.{digits}f}, {high:.{digits}f}]" if is_plain else format_interval(low, high, digits)
    )
    return f"{value} {measured.unit} {interval}"
