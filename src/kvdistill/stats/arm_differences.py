"""What differs between two arms, and whether their sweep says that it may.

A comparison rests on two arms being equal in all but what is compared. That is no promise here: it
is read off the frozen configs, ledgers and manifests of their runs. What the sweep's arms and axes
set may differ, and what follows from it (teachers -> rooms that read them; style -> texts and their
tokens); anything beyond refuses the comparison by name.
"""

from collections.abc import Sequence

from kvdistill.stats.differences.base import ArmDifference, covers_field
from kvdistill.stats.differences.records import (
    SHOWN_ONLY,
    TIMING_ONLY,
    compare_code,
    compare_records,
)
from kvdistill.stats.differences.settings import compare_settings
from kvdistill.stats.study import Arm, QuestionRecords, Run

UNDECLARED = "undeclared differences"
NOTHING = "nothing but label and seeds"
UNKNOWN = ArmDifference(
    field="settings", values=("", ""), note="until each has a finished run", declared=True
)
"""Of two arms of which one has no run that is finished or whose frozen config can be read."""
SHOWN = 8
"""Differences that one line names; the rest are counted."""


def list_differences(
    arm: Arm, baseline: Arm, question: QuestionRecords | None = None
) -> list[ArmDifference]:
    """Everything in which two arms differ beside their seeds, undeclared things first.

    `question` adds what it says may differ beyond its arms and axes (`differs:`). Settings are read
    as they were frozen, of unfinished runs too; what runs record, of finished ones. Where an arm
    has neither, UNKNOWN is all that is returned.
    """
    declared = [*arm.declared, *baseline.declared, *(question.differs if question else ())]
    frozen = [
        [run for run in each.runs.values() if run.config or run.done] for each in (baseline, arm)
    ]
    if not all(frozen):
        return [UNKNOWN]
    settings = [*list_setting_differences(frozen[0], frozen[1], declared)]
    changed = [each.field.split(".")[0] for each in settings if each.declared]
    tuning = list_tuning(arm, baseline, declared)
    recorded, code = list[ArmDifference](), list[ArmDifference]()
    done = [[run for run in runs if run.done] for runs in frozen]
    if all(done):
        recorded = [*compare_records(done[0], done[1], declared, changed)]
        accepted = question.accepted_code if question else arm.accepted_code
        code = [*compare_code(done[0], done[1], declared, accepted)]
    return sorted([*settings, *recorded, *code, *tuning], key=lambda each: each.declared)


def list_setting_differences(
    baseline: Sequence[Run], arm: Sequence[Run], declared: Sequence[str]
) -> list[ArmDifference]:
    """Of the frozen configs; runs of one recipe are read once."""
    sides = [list({run.recipe: run for run in runs}.values()) for runs in (baseline, arm)]
    pairs = ((one.config, other.config) for one in sides[0] for other in sides[1])
    differences: dict[tuple[str, tuple[str, str]], ArmDifference] = {}
    for one, other in pairs:
        if one and other:
            for each in compare_settings(dict(one), dict(other), declared):
                differences.setdefault((each.field, each.values), each)
    return list(differences.values())


def list_tuning(arm: Arm, baseline: Arm, declared: Sequence[str]) -> list[ArmDifference]:
    """How many variants of training each arm was tried in, where one had more than the other."""
    if arm.trials == baseline.trials or not (arm.trained and baseline.trained):
        return []
    values = (str(baseline.trials), str(arm.trials))
    return [
        ArmDifference(
            field="tuning", values=values, note="variants of training that were tried",
            declared=covers_field(declared, "tuning"),
        )
    ]  # fmt: skip


def select_undeclared(
    differences: Sequence[ArmDifference], *, timing: bool = False
) -> list[ArmDifference]:
    """Those against which a comparison does not stand; `timing`: a comparison of measured times."""
    passed = (*SHOWN_ONLY, *(() if timing else TIMING_ONLY))
    return [each for each in differences if not each.declared and each.field not in passed]


def explain_undeclared(differences: Sequence[ArmDifference], *, timing: bool = False) -> str:
    """Why two arms may not be compared, with the way out; empty where they may."""
    undeclared = select_undeclared(differences, timing=timing)
    if not undeclared:
        return ""
    names = join_differences(undeclared)
    return (
        f"{names}. No arm or axis of the sweep says so: train both alike, or write it into the "
        f"sweep's arms, axes or differs:"
    )


def describe_contrast(differences: Sequence[ArmDifference]) -> str:
    """What differs, in one line, for the page, the terminal and significance.txt."""
    return join_differences(differences) if differences else NOTHING


def join_differences(differences: Sequence[ArmDifference]) -> str:
    """`teachers: none vs 7B; ...`, the first few."""
    more = len(differences) - SHOWN
    shown = "; ".join(map(str, differences[:SHOWN]))
    return shown + (f"; and {more} more" if more > 0 else "")
