"""What stands beside the word of a verdict: its p, family and level; and how many there are."""

from collections.abc import Sequence

from kvdistill.report.format import format_p
from kvdistill.stats.claims.families import EXPLORATORY
from kvdistill.stats.hypotheses import WITHDRAWN
from kvdistill.stats.verdicts import PLAIN_LEVEL, Verdict


def format_judgement(verdict: Verdict) -> str:
    """`p 0.004, corrected 0.020 (Holm, 5 claims of q); judged at 95 %`, or that nothing was."""
    family = verdict.family
    if verdict.p is None:
        return f"one of {count_claims(family.size)} of {family.name}; no test" if family else ""
    parts = [f"p {format_p(verdict.p)}"]
    if family is not None:
        corrected = format_p(verdict.adjusted_p)
        whose = "" if family.name == EXPLORATORY else f" of {family.name}"
        kind = "exploratory " if family.name == EXPLORATORY else ""
        count = count_claims(family.size, kind)
        parts.append(f"corrected {corrected} ({family.correction}, {count}{whose})")
    # Several looks share the level: each judges more strictly.
    is_shared = abs(verdict.confidence - verdict.level) > 1e-9
    look = f", this look at {100 * verdict.confidence:.4g} %" if is_shared else ""
    return f"{', '.join(parts)}; judged at {100 * verdict.level:g} %{look}"


def count_claims(number: int, kind: str = "") -> str:
    """`1 claim`, `5 exploratory claims`."""
    return f"{number} {kind}claim{'' if number == 1 else 's'}"


def describe_claim_counts(verdicts: Sequence[Verdict]) -> str:
    """How many claims the study judges, in which families, and what no correction covers."""
    if not verdicts:
        return ""
    families = {one.family.name: one.family for one in verdicts if one.family}
    exploratory = families.pop(EXPLORATORY, None)
    withdrawn = sum(one.recorded == WITHDRAWN for one in verdicts)
    sizes = ", ".join(f"{family.size} of {family.name}" for family in families.values())
    parts = [f"{count_claims(len(verdicts))} in this study"]
    if families:
        parts.append(f"recorded before training, corrected by Holm in each family: {sizes}")
    if exploratory:
        survivors = sum(
            one.family == exploratory and one.adjusted_p is not None and one.adjusted_p < 0.05
            for one in verdicts
        )
        parts.append(
            f"{count_claims(exploratory.size, 'exploratory ')}, of which {survivors} "
            f"{'stays' if survivors == 1 else 'stay'} below .05 by {exploratory.correction}"
        )
    if withdrawn:
        parts.append(f"{withdrawn} withdrawn or edited, which still count in their family")
    text = "; ".join(parts) + "."
    if len(families) > 1:
        # Each family errs with probability 1 - level where nothing is true; families are apart.
        chance = 100 * (1 - PLAIN_LEVEL ** len(families))
        text += (
            f" Over the {len(families)} families nothing is corrected: were nothing true, up to "
            f"{chance:.0f} % of such studies would still decide something at 95 %."
        )
    return text
