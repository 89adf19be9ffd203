"""Whether a result hangs on how answers were read: rates and scores under both extractors.

Non-finite outputs have no rate here: an evaluation that meets one is refused.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean

from kvdistill.records import Item


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How one arm's outputs on one task could be read; shares of its items."""

    arm: str
    task: str
    n: int
    unparsed: float
    truncated: float
    empty: float
    score: float
    alternative: float | None
    """Score under the other extractor; None where an answer needs no extraction."""


@dataclass(frozen=True, kw_only=True)
class Sign:
    """One task's difference between two arms, under each extractor."""

    task: str
    difference: float
    alternative: float
    depends: bool
    """Whether the two disagree on which arm is better."""


def audit(arms: Mapping[str, Iterable[Item]]) -> list[Reading]:
    """One row an arm and task; an arm's seeds may stand in one list."""
    return [
        Reading(
            arm=arm,
            task=task,
            n=len(part),
            unparsed=fmean(item.unparsed for item in part),
            truncated=fmean(item.truncated for item in part),
            empty=fmean(item.empty for item in part),
            score=fmean(item.correct for item in part),
            alternative=_alternative(part),
        )
        for arm, items in arms.items()
        for task, part in _by_task(items).items()
    ]


def signs(arm: Iterable[Item], baseline: Iterable[Item]) -> list[Sign]:
    """Every task both arms have under both extractors: does the sign of arm - baseline hold?"""
    ours, theirs = _by_task(arm), _by_task(baseline)
    out = []
    for task in (task for task in ours if task in theirs):
        other = _alternative(ours[task]), _alternative(theirs[task])
        if other[0] is None or other[1] is None:
            continue
        difference = fmean(i.correct for i in ours[task]) - fmean(i.correct for i in theirs[task])
        alternative = other[0] - other[1]
        depends = (difference > 0, difference < 0) != (alternative > 0, alternative < 0)
        out.append(Sign(task=task, difference=difference, alternative=alternative, depends=depends))
    return out


def _by_task(items: Iterable[Item]) -> dict[str, list[Item]]:
    parts: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        parts[item.task].append(item)
    return dict(parts)


def _alternative(items: Iterable[Item]) -> float | None:
    values = [item.alternative for item in items]
    return None if None in values else fmean(v for v in values if v is not None)
