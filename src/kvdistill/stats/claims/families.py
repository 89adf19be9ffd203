"""Which claims are corrected together, and how.

The claims that a question recorded before training are one family: Holm (1979), so that a study
whose question has nothing to find supports or refutes none of them with the promised confidence.
All of them count, also those that are not measured yet, so that no verdict weakens later. What was
claimed after training, or is in no manifest, is one exploratory family of the whole study:
Benjamini-Hochberg (1995), a share of false ones among those that are left.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from kvdistill.stats.multiple_testing import benjamini_hochberg, holm

EXPLORATORY = "exploratory"
HOLM, BENJAMINI_HOCHBERG = "Holm", "Benjamini-Hochberg"


@dataclass(frozen=True, kw_only=True)
class Family:
    """Claims that one correction runs over."""

    name: str
    """A question, `study` for claims of the stats group, or EXPLORATORY."""
    size: int
    """Claims in it, measured or not."""
    correction: str


def correct_families(
    entries: Sequence[tuple[str, float | None]],
) -> list[tuple[Family, float | None]]:
    """(name of its family, p or None) of each claim -> (its family, corrected p or None)."""
    corrected: dict[int, tuple[Family, float | None]] = {}
    for name in dict.fromkeys(name for name, _ in entries):
        members = [i for i, (other, _) in enumerate(entries) if other == name]
        is_exploratory = name == EXPLORATORY
        correction = BENJAMINI_HOCHBERG if is_exploratory else HOLM
        # A claim without a test yet is one that finds nothing: it will be tested some day.
        p_values = [1.0 if entries[i][1] is None else entries[i][1] for i in members]
        adjusted = (benjamini_hochberg if is_exploratory else holm)(p_values)
        family = Family(name=name, size=len(members), correction=correction)
        for i, p in zip(members, adjusted, strict=True):
            corrected[i] = (family, None if entries[i][1] is None else p)
    return [corrected[i] for i in range(len(entries))]
