"""What a command line may not change of a sweep: what its arms and axes set, and labels promise.

The command line wins over a file, as everywhere; an arm that is called `learnable` would then be
averaged and compared under a name that is no longer true. A budget, a scale or data that no arm
sets is changed for all arms alike, and stays free.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kvdistill.config.compose import Config, compose
from kvdistill.config.schema import lookup_path
from kvdistill.errors import ConfigError
from kvdistill.plan.identity import canonicalise, recipe_identity
from kvdistill.plan.labels.recipe_difference import is_within
from kvdistill.plan.sweep import Sweep, read_setting_path

ABSENT = object()


@dataclass(frozen=True)
class Point:
    """One arm at one point of the axes: its label, and what it sets as overrides."""

    label: str
    settings: Sequence[str]


def check_overrides(sweep: Sweep, overrides: Sequence[str]) -> None:
    """Refuses an override of a command that contradicts what an arm or axis of the sweep sets.

    Args:
        sweep: as its file has it.
        overrides: the command's, without seed and sweep.

    Raises:
        ConfigError: naming the override, the arm, and what the arm sets.
    """
    points = [Point(label, settings) for _, label, settings in sweep.runs()]
    set_paths = {read_setting_path(item) for point in points for item in point.settings}
    for item in overrides:
        path = read_setting_path(item)
        if not any(is_within(path, each) or is_within(each, path) for each in set_paths):
            continue  # nearly always: nothing has to be composed
        others = [each for each in overrides if read_setting_path(each) != path]
        for point in points:
            if setting := find_contradiction(point, points, overrides, others, path):
                raise ConfigError(
                    f"{item} contradicts sweep={sweep.name}, whose arm {point.label} sets "
                    f"{setting}. Drop the override, or give the arm another label and that value "
                    f"in a file of sweeps/."
                )


def find_contradiction(
    point: Point, points: Sequence[Point], overrides: Sequence[str], others: Sequence[str],
    path: str,
) -> str | None:  # fmt: skip
    """The setting of the point that an override at `path` makes untrue; None where none is.

    Args:
        point: an arm at one point of the axes.
        points: all of them.
        overrides: the command's.
        others: these without what they say of the path.
        path: dotted.
    """
    related = [s for s in point.settings if are_related(path, read_setting_path(s))]
    if not related:
        return None
    without = compose_or_none([*point.settings, *others])
    if without is None:
        return None  # it fills in what the arm leaves open
    with_it = compose_or_none([*point.settings, *overrides])
    if with_it is None:
        return related[0]  # the arm's other settings no longer have a place
    for setting in related:
        own = read_setting_path(setting)
        group = setting.partition("=")[0]
        if with_it["choices"].get(group) != without["choices"].get(group):
            return setting
        if recipe_identity(with_it) == recipe_identity(without):
            continue  # how it is executed, which no label promises
        below_group = own != path and is_within(path, own) and is_group(group, without)
        if below_group and not varies_at(path, points, others):
            continue  # common to all arms, like a budget
        if read_value(with_it, own) != read_value(without, own):
            return setting
    return None


def are_related(path: str, other: str) -> bool:
    """Whether one dotted path lies within the other."""
    return is_within(path, other) or is_within(other, path)


def is_group(key: str, config: Config) -> bool:
    """Whether an override's key chooses a file of a group."""
    return "@" in key or key in config["choices"]


def varies_at(path: str, points: Sequence[Point], overrides: Sequence[str]) -> bool:
    """Whether the sweep's points differ in what stands at a path."""
    configs = [compose_or_none([*point.settings, *overrides]) for point in points]
    values = [read_value(config, path) for config in configs if config is not None]
    return any(value != values[0] for value in values)


def read_value(config: Config, path: str) -> Any:
    """What stands at a dotted path, as identities see it; ABSENT where nothing does."""
    try:
        value = lookup_path(config, path)
    except (KeyError, TypeError):
        return ABSENT
    return canonicalise(value) if isinstance(value, Mapping | list) else (type(value), value)


def compose_or_none(overrides: Sequence[str]) -> Config | None:
    """The config; None where these overrides alone are refused."""
    try:
        return compose(overrides)
    except ConfigError:
        return None
