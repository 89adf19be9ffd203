"""Words of a sweep's claims that only a composed plan can resolve."""

from collections.abc import Mapping
from typing import Any

from kvdistill.errors import ConfigError

TEACHER_OF = "the teacher of "
"""Before an arm's label: the reference row of that arm's only teacher, whatever the scale."""


def resolve_claims(
    judging: Mapping[str, Any], teachers: Mapping[str, list[str]], where: str
) -> dict[str, Any]:
    """The hypotheses and criteria with `the teacher of LABEL` as `teacher NAME`.

    `teachers` maps a label to its teachers' names. Raises ConfigError where LABEL is no arm of
    the question or has not exactly one.
    """
    resolved_judging = dict(judging)
    for key in ("hypotheses", "criteria"):
        if key in resolved_judging:
            resolved_judging[key] = [
                resolve_claim(node, teachers, f"{where}.{key}") for node in resolved_judging[key]
            ]
    return resolved_judging


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
