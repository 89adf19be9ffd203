"""stage=why: which fields of its science make a run new, against the nearest finished one."""

import glob
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from kvdistill.config.compose import Config
from kvdistill.errors import ConfigError
from kvdistill.files import is_complete
from kvdistill.plan.freeze import thaw
from kvdistill.plan.identity import identity, science

NOTHING = "-"


def show(root: Path, config: Config, name: str, console: Console) -> None:
    """Prints the fields in which the config differs from the nearest finished run under root."""
    science_fields = flatten_config(science(config))
    nearest: tuple[int, str, dict[str, Any]] | None = None
    for folder, recipe in finished(root):
        if identity(recipe) == identity(config):
            console.print(f"{name} is no new run: {folder} is finished.", soft_wrap=True)
            return
        other = flatten_config(science(recipe))
        distance = len(list_differences(science_fields, other))
        if nearest is None or distance < nearest[0]:
            nearest = distance, str(folder), other
    if nearest is None:
        console.print(f"{name} is new: no run is finished below {root}/runs.", soft_wrap=True)
        return
    _, folder_name, other = nearest
    table = Table("field", "this run", "the nearest")
    for key in list_differences(science_fields, other):
        pair = (str(side.get(key, NOTHING)) for side in (science_fields, other))
        table.add_row(key, *pair)
    console.print(f"{name} is new; the nearest finished run is {folder_name}", soft_wrap=True)
    console.print(table)


def frozen(root: Path, name: str) -> Config:
    """The config of a planned run. Raises ConfigError where there is none."""
    for path in sorted(root.glob(f"runs/*/runs/*-{glob.escape(name)}/config.yaml")):
        return dict(thaw(path.parent).recipe)
    raise ConfigError(f"run={name} is no run below {root}/runs. stage=status lists them.")


def finished(root: Path) -> Iterator[tuple[Path, Config]]:
    """Every finished run of every study."""
    for path in sorted(root.glob("runs/*/runs/*/config.yaml")):
        if is_complete(path.parent):
            yield path.parent, dict(thaw(path.parent).recipe)


def flatten_config(node: Any, prefix: str = "") -> dict[str, Any]:
    """Dotted path -> value of every leaf; a list's elements by their number."""
    if isinstance(node, list):
        node = dict(enumerate(node))
    if not isinstance(node, Mapping) or not node:
        return {prefix.rstrip("."): node}
    leaves: dict[str, Any] = {}
    for key, value in node.items():
        leaves |= flatten_config(value, f"{prefix}{key}.")
    return leaves


def list_differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Paths whose values differ, or that only one has."""
    missing = object()
    return [
        key
        for key in dict.fromkeys([*one, *other])
        if one.get(key, missing) != other.get(key, missing)
    ]
