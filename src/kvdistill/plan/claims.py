"""Words of a sweep's claims that only a composed plan can resolve."""

from collections.abc import Mapping, Sequence
from typing import Any

from kvdistill.errors import ConfigError

TEACHER_OF = "the teacher of "
"""Before an arm's label: the reference row of that arm's only teacher, whatever the scale."""


def resolve_claims(
    judging: Mapping[str, Any],
    teachers: Mapping[str, list[str]],
    where: str,
    points: Sequence[str] = ("",),
) -> dict[str, Any]:
    """The hypotheses and criteria with `the teacher of LABEL` as `teacher NAME`.

    `teachers` maps a label to its teachers' names. `points` is what `-m` varies, as labels have it
    behind the file's own: a claim is made anew at each, since no arm has the file's label alone.
    Raises ConfigError where LABEL is no arm of the question or has not exactly one.
    """
    resolved_judging = dict(judging)
    for key in ("hypotheses", "criteria"):
        if key in resolved_judging:
            resolved_judging[key] = [
                move_claim(resolve_claim(node, teachers, f"{where}.{key}"), teachers, point)
                for node in resolved_judging[key]
                for point in points
            ]
    if isinstance(primary := resolved_judging.get("primary"), Mapping):
        # One pair is primary: at the first point that the command gives.
        resolved_judging["primary"] = move_claim(primary, teachers, points[0])
    return resolved_judging


def move_claim(
    node: Mapping[str, Any], teachers: Mapping[str, list[str]], point: str
) -> dict[str, Any]:
    """The claim, or primary endpoint, with its arms' labels as they read at a point of `-m`."""
    moved_claim = dict(node)
    if not point:
        return moved_claim
    for side in ("arm", "baseline"):
        if moved_claim.get(side) in teachers:  # not a teacher, nor an arm of another question
            moved_claim[side] = f"{moved_claim[side]} {point}"
    if "name" in moved_claim:
        moved_claim["name"] = f"{moved_claim['name']} ({point})"
    return moved_claim


def resolve_claim(
    node: Mapping[str, Any], teachers: Mapping[str, list[str]], where: str
) -> dict[str, Any]:
    """One claim with its arms named as the records will name them."""
    resolved_claim = dict(node)
    for side in ("arm", "baseline"):
        label = str(resolved_claim.get(side))
        if label.startswith(TEACHER_OF):
            of = label.removeprefix(TEACHER_OF)
            if len(teachers.get(of, [])) != 1:
                raise ConfigError(
                    f"{where}.{side}={label}: {of} must be an arm with one teacher, and has "
                    f"{', '.join(teachers.get(of, [])) or 'none'}. Name another arm."
                )
            resolved_claim[side] = f"teacher {teachers[of][0]}"
    return resolved_claim
