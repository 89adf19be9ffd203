"""Which settings set two recipes apart: what a refusal names, and what an automatic label says."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kvdistill.config.compose import Config
from kvdistill.config.schema import lookup_path
from kvdistill.plan.identity import canonicalise, science_of
from kvdistill.plan.sweep import format_literal

UNSET = "unset"
"""Stands for the value of a setting that one of the two does not have."""
FOLLOWS = ("seed", "version", "clip_norm", "tokens", "half", "scale", "answers")
"""Of the science, what no setting of its own is: what it follows from is named."""
LONGEST_VALUE = 40
"""Characters of a value that is no list; a longer one (a hash, a template) is cut."""
MOST_SETTINGS = 8
"""Settings that a sentence names; the rest are counted."""


@dataclass(frozen=True)
class SettingDifference:
    """One setting on which two recipes disagree."""

    path: str
    """As the command line has it: `train.lr`, or a group such as `layers/map`."""
    old: str
    new: str


def compare_recipes(old: Config, new: Config) -> list[SettingDifference]:
    """What sets two resolved configs apart, but for the seed.

    A group of which they took two choices is one difference, whatever it holds; where two arms
    (`arm=`) differ, what either fixes is the arm's.
    """
    left_out = dict.fromkeys(FOLLOWS)
    sides = [flatten_config({**science_of(c), **left_out}) for c in (old, new)]
    paths = list_differing_paths(*sides)
    if old["trained"] != new["trained"]:  # an untrained one has no rooms at all
        paths = [path for path in paths if all(path in side for side in sides)]
    differences: list[SettingDifference] = []
    for group, inside in list_differing_groups(old, new):
        if any(is_within(path, each) for path in paths for each in inside) or (
            group == "arm" and old["trained"] != new["trained"]
        ):
            names = (str(side["choices"].get(group, UNSET)) for side in (old, new))
            differences.append(SettingDifference(group, *names))
            paths = [p for p in paths if not any(is_within(p, each) for each in inside)]
    for path in paths:
        values = (describe_value(path, *pair) for pair in zip(sides, (old, new), strict=True))
        differences.append(SettingDifference(name_role(path, new), *values))
    return differences


def compare_leaves(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[SettingDifference]:
    """Every setting on which two nodes of a config disagree, whether or not it is science."""
    sides = [flatten_config(side) for side in (old, new)]
    return [
        SettingDifference(path, *(describe_value(path, side, {}) for side in sides))
        for path in list_differing_paths(*sides)
    ]


def list_differing_groups(old: Config, new: Config) -> Iterator[tuple[str, list[str]]]:
    """(group, dotted paths inside it) of each of which the two took other choices; arms first."""
    chosen = [side["choices"] for side in (old, new)]
    groups = sorted({*chosen[0], *chosen[1]} - {"arm", "scale"}, key=lambda g: (g.count("/"), g))
    if chosen[0].get("arm") != chosen[1].get("arm"):
        yield "arm", [key.replace("/", ".") for side in (old, new) for key in side["fixes"]]
    for group in groups:
        if chosen[0].get(group) != chosen[1].get(group):
            yield group, [group.replace("/", ".")]


def describe_value(path: str, fields: Mapping[str, Any], config: Config) -> str:
    """The value of a leaf of the science, or of the config where it is left out of the science."""
    try:
        value = fields[path] if path in fields else lookup_path(config, path)
    except (KeyError, TypeError):
        return UNSET
    text = format_literal(value)
    # A list that is cut would name some of its items as if they were all.
    return (
        text
        if isinstance(value, list) or len(text) <= LONGEST_VALUE
        else f"{text[:LONGEST_VALUE]}..."
    )


def name_role(path: str, config: Config) -> str:
    """`teachers.0.dtype`, as science has it, as `teachers.ROLE.dtype`."""
    head, _, rest = path.partition(".")
    index, _, tail = rest.partition(".")
    roles = list(config["teachers"])
    if head == "teachers" and index.isdigit() and int(index) < len(roles):
        return f"teachers.{roles[int(index)]}.{tail}"
    return path


def is_within(path: str, above: str) -> bool:
    """Whether a dotted path is another one, or lies below it."""
    return path == above or path.startswith(f"{above}.")


def describe_differences(differences: Sequence[SettingDifference]) -> str:
    """`train.lr is 0.001 there and 0.002 here; ...`, the first few."""
    if not differences:
        return "no setting differs, so another version of kvdistill planned it"
    lines = [f"{one.path} is {one.old} there and {one.new} here" for one in differences]
    more = len(lines) - MOST_SETTINGS
    return "; ".join(lines[:MOST_SETTINGS]) + (f"; and {more} more" if more > 0 else "")


def flatten_config(node: Any, prefix: str = "") -> dict[str, Any]:
    """Dotted path -> value of every leaf.

    A list of values is one leaf, as it is one setting; a list of nodes has each by its number.
    """
    if isinstance(node, list) and any(isinstance(each, Mapping) for each in node):
        node = dict(enumerate(node))
    if not isinstance(node, Mapping) or not node:
        return {prefix.rstrip("."): node}
    leaves: dict[str, Any] = {}
    for key, value in node.items():
        leaves |= flatten_config(value, f"{prefix}{key}.")
    return leaves


def list_differing_paths(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Paths whose values differ, or that only one has."""
    # As identities see them: 1 and 1.0 differ, a class that only moved does not.
    return [
        key
        for key in dict.fromkeys([*one, *other])
        if key not in one or key not in other or canonicalise(one[key]) != canonicalise(other[key])
    ]
