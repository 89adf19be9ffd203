"""Numbers and findings in words, the same in the page, the terminal and the files."""

from collections.abc import Sequence

from kvdistill.stats.compare import UNPAIRED, Difference
from kvdistill.stats.seed_tests import MISSING, OK, stars
from kvdistill.stats.study import MACRO
from kvdistill.stats.summary import Cell
from kvdistill.stats.verdicts import Verdict

TASK_TITLES = {
    "gsm8k": "GSM8K", "math500": "MATH500", "bbh": "BBH", "gpqa": "GPQA",
    "truthfulqa": "TruthfulQA", "cmmlu": "CMMLU", "ceval": "C-Eval", MACRO: "average",
}  # fmt: skip
MINUS, ARROW, PLUS_MINUS, DASH = "\u2212", "\u2192", "\u00b1", "\u2014"


def title_tasks(endpoints: Sequence[str]) -> dict[str, str]:
    """Endpoint -> the name on axes and headings: known names, a common prefix left out."""
    tasks = [e for e in endpoints if e != MACRO]
    heads = {task.split("_", 1)[0] + "_" for task in tasks}
    cut = heads.pop() if len(heads) == 1 and len(tasks) > 1 and all("_" in t for t in tasks) else ""
    return {e: TASK_TITLES.get(e, e.removeprefix(cut)) for e in endpoints}


def format_signed(points: float, digits: int = 1) -> str:
    """+1.2 or a real minus sign; never -0.0."""
    text = f"{points:+.{digits}f}"
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


def format_significance_line(name: str, baseline: Cell, arm: Cell, difference: Difference) -> str:
    """`GSM8K: 68.5+-1.2 -> 75.3+-0.9 (p=0.003 ***)`, or the named reason for no p value."""
    if difference.status in (MISSING, UNPAIRED) or difference.seeds is None:
        return f"{name}: {difference.status}: {difference.why}"
    values = f"{name}: {baseline.text()} {ARROW} {arm.text()}"
    if difference.seeds.status != OK:
        return f"{values} ({difference.status})"
    marks = f" {stars(difference.seeds.p)}".rstrip()
    equal = "" if format_p(difference.seeds.p).startswith("<") else "="
    text = f"{values} (p{equal}{format_p(difference.seeds.p)}{marks}"
    adjusted = difference.adjusted.get("seeds")
    return f"{text}; adjusted p {format_p(adjusted)})" if adjusted is not None else f"{text})"


def describe_difference(
    arm: str, baseline: str, difference: Difference, detect: float | int
) -> str:
    """What the macro average says of an arm, for someone who reads one sentence."""
    if difference.estimate is None:
        return f"{arm} cannot be compared with {baseline}. {difference.status.capitalize()}: {difference.why}."
    side = "above" if difference.estimate > 0 else "below"
    head = f"{arm} scores {abs(100 * difference.estimate):.1f} points {side} {baseline}"
    if difference.recipe is None:
        if difference.item is None or difference.item.se == 0:
            return f"{head}: {difference.status}."
        low, high = 100 * difference.item.low, 100 * difference.item.high
        return (
            f"{head} for these checkpoints ({format_interval(low, high)} over new items). "
            f"No claim about the recipe: {difference.status}."
        )
    low, high = 100 * difference.recipe.low, 100 * difference.recipe.high
    conclusion = "A difference is shown" if low > 0 or high < 0 else "Inconclusive"
    parts = [
        f"{head}, interval {format_interval(low, high)} over new seeds and items. {conclusion}"
    ]
    if difference.same_sign:
        parts.append(f"{difference.same_sign[0]} of {difference.same_sign[1]} seeds on that side")
    if difference.detectable is not None:
        parts.append(
            f"differences under {100 * difference.detectable:.1f} points would mostly be missed"
        )
    text = "; ".join(parts) + "."
    if difference.seeds_needed is None:
        return f"{text} To find {detect:g} point, more items are needed, not only more seeds."
    return f"{text} To find {detect:g} point, {difference.seeds_needed} seeds are needed."


def format_bound(verdict: Verdict) -> str:
    """`>= +3.0 points`, in words."""
    claim = verdict.claim
    unit = verdict.measured.unit or "points"
    if claim.measure == "routing":
        return f"permutation p < {claim.bound:g}"
    word = "at most" if claim.at_most is not None else "at least"
    value = (
        f"{claim.bound:g}"
        if claim.baseline is None or unit == "tasks"
        else format_signed(claim.bound, 1)
    )
    return f"{word} {value} {unit}"


def format_measured(verdict: Verdict) -> str:
    """The estimate with its interval."""
    measured = verdict.measured
    if measured.estimate is None:
        return measured.why
    if measured.unit == "p":
        return f"p {format_p(measured.estimate)}; {measured.why}"
    digits = 0 if measured.unit == "tasks" else 1
    plain = verdict.claim.baseline is None or measured.unit == "tasks"
    value = f"{measured.estimate:.{digits}f}" if plain else format_signed(measured.estimate, digits)
    if measured.low is None or measured.high is None:
        return f"{value} {measured.unit}; no interval: {measured.why}"
    ends = (
        f"[{measured.low:.{digits}f}, {measured.high:.{digits}f}]"
        if plain
        else format_interval(measured.low, measured.high, digits)
    )
    return f"{value} {measured.unit} {ends}"
