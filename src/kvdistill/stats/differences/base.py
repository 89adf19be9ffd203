"""One thing in which two arms differ, and who has said that it may."""

from collections.abc import Iterable
from dataclasses import dataclass

from kvdistill.plan.labels.recipe_difference import is_within

ANYTHING = "*"
"""Declared of arms that a command names one by one, whatever they are."""


@dataclass(frozen=True, kw_only=True)
class ArmDifference:
    """A setting or a recorded fact on which an arm and its baseline disagree."""

    field: str
    """A setting's path or group (`train.lr`, `fusion`), or a fact (`texts`, `code`)."""
    values: tuple[str, str]
    """The baseline's and the arm's, as one reads them; both empty where nothing can be read."""
    declared: bool
    """Whether the sweep's arms or axes say so, or it follows from what they say."""
    note: str = ""

    def __str__(self) -> str:
        note = f" ({self.note})" if self.note else ""
        values = " vs ".join(self.values) if any(self.values) else "not known"
        return f"{self.field}: {values}{note}"


def covers_field(declared: Iterable[str], field: str) -> bool:
    """Whether a declared path is this field, or above it."""
    return any(each == ANYTHING or is_within(field, each) for each in declared)
