"""Words of a sweep's claims that only a composed plan can resolve."""

from collections.abc import Mapping
from typing import Any

from kvdistill.errors import ConfigError

TEACHER_OF = "the teacher of "
"""Before an arm's label: the reference row of that arm's only teacher, whatever the scale."""


def resolved(
    judged: Mapping[str, Any], teachers: Mapping[str, list[str]], where: str
) -> dict[str, Any]:
    """The hypotheses and criteria with `the teacher of LABEL` as `teacher NAME`.

    `teachers` maps a label to its teachers' names. Raises ConfigError where LABEL is no arm of
    the question or has not exactly one.
    """
    found = dict(judged)
    for key in ("hypotheses", "criteria"):
        if key in found:
            found[key] = [claim(node, teachers, f"{where}.{key}") for node in found[key]]
    return found


def claim(node: Mapping[str, Any], teachers: Mapping[str, list[str]], where: str) -> dict[str, Any]:
    """One claim with its arms named as the records will name them."""
    named = dict(node)
    for side in ("arm", "baseline"):
        label = str(named.get(side))
        if label.startswith(TEACHER_OF):
            of = label.removeprefix(TEACHER_OF)
            if len(teachers.get(of, [])) != 1:
                raise ConfigError(
                    f"{where}.{side}={label}: {of} must be an arm with one teacher, and has "
                    f"{', '.join(teachers.get(of, [])) or 'none'}. Name another arm."
                )
            named[side] = f"teacher {teachers[of][0]}"
    return named
