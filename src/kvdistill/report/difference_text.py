"""A difference in words: what it is, what it claims, and what it would take to claim more."""

from kvdistill.report.format import ARROW, format_interval, format_p
from kvdistill.stats.compare import UNPAIRED, Difference
from kvdistill.stats.power import MAX_SEEDS
from kvdistill.stats.seed_tests import MISSING, OK, format_stars
from kvdistill.stats.settings import Settings
from kvdistill.stats.summary import Cell


def format_significance_line(name: str, baseline: Cell, arm: Cell, difference: Difference) -> str:
    """`GSM8K: 68.5+-1.2 -> 75.3+-0.9 (p=0.003 ***)`, or the named reason for no p value."""
    test = difference.seeds
    if difference.status in (MISSING, UNPAIRED) or test is None:
        return f"{name}: {difference.status}: {difference.why}"
    values = f"{name}: {baseline.text()} {ARROW} {arm.text()}"
    if test.status != OK:
        return f"{values} ({difference.status})"
    p = f"{values} (p{format_equal_p(test.p)}"
    if difference.recipe is None:
        return f"{p}; no star: {difference.status})"
    starred = difference.adjusted.get("stars")
    if starred is None:
        return f"{p})"
    return f"{p}; corrected p{format_equal_p(starred)} {format_stars(starred)}".rstrip() + ")"


def format_equal_p(p: float | None) -> str:
    """`=0.003`, or `<0.001`."""
    text = format_p(p)
    return text if text.startswith("<") else f"={text}"


def describe_difference(arm: str, baseline: str, difference: Difference, settings: Settings) -> str:
    """The macro average's difference in one or two sentences.

    `settings` has the confidence of the conclusion and the difference that should be found.
    """
    if difference.estimate is None:
        reason = f"{difference.status.capitalize()}: {difference.why}."
        return f"{arm} cannot be compared with {baseline}. {reason}"
    side = "above" if difference.estimate > 0 else "below"
    head = f"{arm} scores {abs(100 * difference.estimate):.1f} points {side} {baseline}"
    if difference.recipe is None:
        return describe_without_recipe(head, difference)
    interval = format_interval(100 * difference.recipe.low, 100 * difference.recipe.high)
    level = f"{100 * settings.confidence:g} %"
    conclusion = conclude_difference(difference, settings.alpha, level)
    parts = [f"{head}, {level} interval {interval} over new seeds and items. {conclusion}"]
    if difference.same_sign:
        parts.append(f"{difference.same_sign[0]} of {difference.same_sign[1]} seeds on that side")
    if difference.detectable is not None:
        limit = f"{100 * difference.detectable:.1f}"
        parts.append(f"differences under {limit} points would mostly be missed")
    needed = describe_seeds_needed(difference, settings.detect)
    return f"{'; '.join(parts)}. {needed}".rstrip()


def conclude_difference(difference: Difference, alpha: float, level: str) -> str:
    """What the corrected p of the recipe's difference allows to say."""
    raw = difference.recipe.p if difference.recipe else None
    corrected = difference.adjusted.get("recipe", raw)
    if corrected is not None and corrected < alpha:
        return "A difference is shown" if level == "95 %" else f"A difference is shown at {level}"
    if corrected is not None and raw is not None and raw < alpha:
        return f"Inconclusive: corrected over the question's arms (Holm) p is {format_p(corrected)}"
    return "Inconclusive"


def describe_seeds_needed(difference: Difference, detect: float | int) -> str:
    """What would find `detect` points at the noise seen here; empty where none is known."""
    points = f"{detect:g} point{'' if detect == 1 else 's'}"
    if difference.seeds_needed is not None:
        return f"To find {points} in 8 of 10 such studies takes {difference.seeds_needed} seeds."
    if difference.items_needed is None:
        return ""
    if difference.items_needed == 1:
        return f"To find {points} takes more than {MAX_SEEDS} seeds."
    return (
        f"No number of seeds finds {points} in 8 of 10 such studies: it takes more than "
        f"{difference.items_needed:.1f} times as many items."
    )


def describe_without_recipe(head: str, difference: Difference) -> str:
    """The sentence where there are too few seeds for an interval over new ones."""
    item = difference.item
    if item is None or item.se == 0:
        return f"{head}: {difference.status}."
    return (
        f"{head} for these checkpoints ({format_interval(100 * item.low, 100 * item.high)} over "
        f"new items){describe_same_sign(difference)}. No claim about the recipe: "
        f"{difference.status}."
    )


def describe_same_sign(difference: Difference) -> str:
    """`, 2 of 2 seeds on that side`; empty of a single pair."""
    same = difference.same_sign
    return f", {same[0]} of {same[1]} seeds on that side" if same and same[1] > 1 else ""
