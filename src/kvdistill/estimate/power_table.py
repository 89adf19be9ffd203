"""The table of stage=plan that says how often each claim would be shown, were it true."""

from collections.abc import Iterator, Sequence

from rich.table import Column, Table

from kvdistill.estimate.claim_power import ClaimPower
from kvdistill.stats.hypotheses import CURVE_COLUMNS, EFFICIENCY_PREFIX, ROUTING, Claim
from kvdistill.stats.study import MACRO

WEAK = 0.5
"""Power below which a claim is more likely to be missed than shown."""
NONE = "-"


def tabulate_powers(powers: Sequence[ClaimPower]) -> Table:
    """A row a claim."""
    table = Table(
        Column("claim", overflow="fold"),
        "bound", "seeds", "if true", "supported", "corrected", "at the bound", "80 % from",
        "seeds for 80 %",
        title="Power: how often each claim would come out supported, if the difference were true",
        caption="corrected: at the strictest of Holm's levels over its question's claims; at the "
        "bound: where the truth is the bound itself; 80 % from: the truth that these seeds show",
    )  # fmt: skip
    for one in (each for each in powers if not each.note):
        table.add_row(
            f"{one.question}: {one.claim.name}",
            format_claim_bound(one.claim),
            str(one.seeds),
            NONE if one.expected is None else format_amount(one.claim, one.expected),
            format_share(one.at_expected),
            format_share(one.corrected),
            format_share(one.at_bound),
            NONE if one.needed is None else format_amount(one.claim, one.needed),
            str(one.seeds_needed or NONE),
        )
    return table


def describe_unreckoned(powers: Sequence[ClaimPower]) -> Iterator[str]:
    """A sentence a claim that the table leaves out, with the reason."""
    for one in powers:
        if one.note:
            yield f"No power of {one.question}: {one.claim.name} ({one.claim.measure}): {one.note}."


def describe_weak_claims(powers: Sequence[ClaimPower]) -> Iterator[str]:
    """A sentence on claims that would be missed more often than shown, were they true."""
    weak = [one for one in powers if one.at_expected is not None and one.at_expected < WEAK]
    if weak:
        names = ", ".join(f"{one.question}: {one.claim.name}" for one in weak)
        yield (
            f"{len(weak)} of {len(powers)} claims would be missed more often than shown at what is "
            f"assumed to be true: {names}. Add seeds, claim less, or state what you expect "
            f"(`expected` of a claim)."
        )


def format_claim_bound(claim: Claim) -> str:
    """`at least +3 macro`."""
    if claim.measure == ROUTING:
        return f"p < {claim.bound:g}"
    word = "at most" if claim.at_most is not None else "at least"
    return f"{word} {format_amount(claim, claim.bound)}"


def format_amount(claim: Claim, value: float) -> str:
    """A value of the claim's measure, with its unit."""
    if claim.measure == "tasks_improved":
        return f"{value:g} tasks"
    unit = " %" if is_percent(claim) else ""
    name = "" if claim.measure == MACRO else f" {claim.measure}"
    return f"{value:g}{unit}{name}" if claim.baseline is None else f"{value:+.3g}{unit}{name}"


def is_percent(claim: Claim) -> bool:
    """Whether the measure is a percentage by which two arms differ."""
    named = claim.measure in ("std", *CURVE_COLUMNS)
    return named or claim.measure.startswith(EFFICIENCY_PREFIX)


def format_share(share: float | None) -> str:
    """A power in percent; what is not reckoned as a dash."""
    return NONE if share is None else f"{100 * share:.0f} %" if share >= 0.095 else f"{share:.1%}"
