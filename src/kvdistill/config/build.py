"""From a config node to the object it names: the only caller of Hydra's `instantiate`."""

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import get_object, instantiate

from kvdistill.config import types
from kvdistill.errors import ConfigError, UserError

WAYS = {"_target_", "_partial_"}
"""What a node may say of how it is built; Hydra's other words would pass settings unchecked."""


def build_node(path: str, node: Mapping[str, Any], **runtime: Any) -> Any:
    """Instantiates the node found at `path`; `runtime` are facts that no YAML can know.

    Raises ConfigError for a target that is no class of this package, a setting that the target has
    not or of another kind, and for what the target refuses.
    """
    check_node(path, node)
    try:
        # object: strategies get plain lists and dicts, never OmegaConf's.
        built = instantiate(dict(node), _convert_="object")
        return built(**runtime) if node.get("_partial_") else built
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, UserError):
            raise cause from error
        detail = str(cause or error).splitlines()[0]
        raise ConfigError(f"{path}: {detail}") from error
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{path}: {error}") from error


_fine: set[str] = set()
"""Nodes that were built before, and where: the arms of one command have most of theirs alike."""


def try_build(path: str, node: Mapping[str, Any]) -> None:
    """Raises what `build` raises; the same node is tried once."""
    if (known := f"{path}={node!r}") not in _fine:
        build_node(path, node)
        _fine.add(known)


def check_node(path: str, node: Mapping[str, Any]) -> None:
    """Raises ConfigError for a bad target or setting of a node or of one inside it.

    A bad target is refused before any target is imported.
    """
    check_no_interpolation(path, node)
    targets = list(walk_targets(path, node))
    for where, each in targets:
        # All are looked at before any is imported: importing a module already runs its code.
        if not str(each["_target_"]).startswith("kvdistill."):
            raise ConfigError(
                f"{where}._target_ must lie inside kvdistill., got "
                f"{types.format_value(each['_target_'])}. "
                f"Put the strategy in a module of the package."
            )
        if unknown := [key for key in each if str(key).startswith("_") and key not in WAYS]:
            raise ConfigError(f"{where}.{unknown[0]} is no setting. Give settings by their names.")
    for where, each in targets:
        types.check_arguments(where, each, resolve_target(where, each))


def check_no_interpolation(path: str, node: Any) -> None:
    """Refuses text that Hydra would still replace, by an environment variable for one."""
    for where, value in types.walk_leaves(path, node):
        if isinstance(value, str) and "${" in value:
            raise ConfigError(
                f"{where}={types.format_value(value)} must not hold "
                f"${{ once it is resolved. Leave it out."
            )


def resolve_target(path: str, node: Mapping[str, Any]) -> Any:
    """The class that a node is built by: one that a module of this package defines itself.

    What a module has only imported is another's, and a function may do anything.
    """
    name = str(node["_target_"])
    try:
        target = get_object(name)
    except (ImportError, ValueError) as error:
        raise ConfigError(f"{path}._target_: {str(error).splitlines()[0]}") from error
    if not inspect.isclass(target) or f"{target.__module__}.{target.__qualname__}" != name:
        raise ConfigError(
            f"{path}._target_={types.shorten(name)} is no class that a module of kvdistill "
            f"defines. "
            f"Name one as module and class."
        )
    return target


def walk_targets(path: str, node: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(path, node) of every node with a `_target_`, nested ones too."""
    if isinstance(node, Mapping):
        if "_target_" in node:
            yield path, node
        for key, value in node.items():
            yield from walk_targets(f"{path}.{key}", value)
    elif isinstance(node, list | tuple):
        for place, value in enumerate(node):
            yield from walk_targets(f"{path}[{place}]", value)
