"""Numbers and findings in words, the same in the page, the terminal and the files."""

from collections.abc import Sequence

from kvdistill.stats.compare import UNPAIRED, Difference
from kvdistill.stats.seed_tests import MISSING, OK, stars
from kvdistill.stats.study import MACRO
from kvdistill.stats.summary import Cell
from kvdistill.stats.verdicts import Verdict

KNOWN = {
    "gsm8k": "GSM8K", "math500": "MATH500", "bbh": "BBH", "gpqa": "GPQA",
    "truthfulqa": "TruthfulQA", "cmmlu": "CMMLU", "ceval": "C-Eval", MACRO: "average",
}  # fmt: skip
MINUS, ARROW, PLUS_MINUS, DASH = "\u2212", "\u2192", "\u00b1", "\u2014"


def task_names(endpoints: Sequence[str]) -> dict[str, str]:
    """Endpoint -> the name on axes and headings: known names, a common prefix left out."""
    tasks = [e for e in endpoints if e != MACRO]
    heads = {task.split("_", 1)[0] + "_" for task in tasks}
    cut = heads.pop() if len(heads) == 1 and len(tasks) > 1 and all("_" in t for t in tasks) else ""
    return {e: KNOWN.get(e, e.removeprefix(cut)) for e in endpoints}


def signed(points: float, digits: int = 1) -> str:
    """+1.2 or a real minus sign; never -0.0."""
    text = f"{points:+.{digits}f}"
    if float(text) == 0:
        return f"{0:.{digits}f}"
    return text.replace("-", MINUS)


def p_text(p: float | None) -> str:
    """0.003, <0.001, or a dash."""
    if p is None:
        return DASH
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def span(low: float | None, high: float | None, digits: int = 1) -> str:
    """[low, high], signed, in the unit given."""
    if low is None or high is None:
        return DASH
    return f"[{signed(low, digits)}, {signed(high, digits)}]"


def line(name: str, baseline: Cell, arm: Cell, one: Difference) -> str:
    """`GSM8K: 68.5+-1.2 -> 75.3+-0.9 (p=0.003 ***)`, or the named reason for no p value."""
    if one.status in (MISSING, UNPAIRED) or one.seeds is None:
        return f"{name}: {one.status}: {one.why}"
    values = f"{name}: {baseline.text()} {ARROW} {arm.text()}"
    if one.seeds.status != OK:
        return f"{values} ({one.status})"
    marks = f" {stars(one.seeds.p)}".rstrip()
    equal = "" if p_text(one.seeds.p).startswith("<") else "="
    text = f"{values} (p{equal}{p_text(one.seeds.p)}{marks}"
    adjusted = one.adjusted.get("seeds")
    return f"{text}; adjusted p {p_text(adjusted)})" if adjusted is not None else f"{text})"


def sentence(arm: str, baseline: str, one: Difference, detect: float | int) -> str:
    """What the macro average says of an arm, for someone who reads one sentence."""
    if one.estimate is None:
        return f"{arm} cannot be compared with {baseline}. {one.status.capitalize()}: {one.why}."
    side = "above" if one.estimate > 0 else "below"
    head = f"{arm} scores {abs(100 * one.estimate):.1f} points {side} {baseline}"
    if one.recipe is None:
        if one.item is None or one.item.se == 0:
            return f"{head}: {one.status}."
        low, high = 100 * one.item.low, 100 * one.item.high
        return (
            f"{head} for these checkpoints ({span(low, high)} over new items). "
            f"No claim about the recipe: {one.status}."
        )
    low, high = 100 * one.recipe.low, 100 * one.recipe.high
    shown = "A difference is shown" if low > 0 or high < 0 else "Inconclusive"
    parts = [f"{head}, interval {span(low, high)} over new seeds and items. {shown}"]
    if one.same_sign:
        parts.append(f"{one.same_sign[0]} of {one.same_sign[1]} seeds on that side")
    if one.detectable is not None:
        parts.append(f"differences under {100 * one.detectable:.1f} points would mostly be missed")
    text = "; ".join(parts) + "."
    if one.seeds_needed is None:
        return f"{text} To find {detect:g} point, more items are needed, not only more seeds."
    return f"{text} To find {detect:g} point, {one.seeds_needed} seeds are needed."


def bound(one: Verdict) -> str:
    """`>= +3.0 points`, in words."""
    claim = one.claim
    unit = one.measured.unit or "points"
    if claim.measure == "routing":
        return f"permutation p < {claim.bound:g}"
    word = "at most" if claim.at_most is not None else "at least"
    value = (
        f"{claim.bound:g}" if claim.baseline is None or unit == "tasks" else signed(claim.bound, 1)
    )
    return f"{word} {value} {unit}"


def measured(one: Verdict) -> str:
    """The estimate with its interval."""
    m = one.measured
    if m.estimate is None:
        return m.why
    if m.unit == "p":
        return f"p {p_text(m.estimate)}; {m.why}"
    digits = 0 if m.unit == "tasks" else 1
    plain = one.claim.baseline is None or m.unit == "tasks"
    value = f"{m.estimate:.{digits}f}" if plain else signed(m.estimate, digits)
    if m.low is None or m.high is None:
        return f"{value} {m.unit}; no interval: {m.why}"
    ends = f"[{m.low:.{digits}f}, {m.high:.{digits}f}]" if plain else span(m.low, m.high, digits)
    return f"{value} {m.unit} {ends}"
