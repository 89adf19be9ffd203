"""From a config node to the object it names: the only caller of Hydra's `instantiate`."""

from collections.abc import Iterator, Mapping
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import get_object, instantiate

from kvdistill.config import kinds
from kvdistill.errors import ConfigError, UserError


def build(path: str, node: Mapping[str, Any], **runtime: Any) -> Any:
    """Instantiates the node found at `path`; `runtime` are facts that no YAML can know.

    Raises ConfigError for a target outside this package, a setting that the target has not or of
    another kind, and for what the target refuses.
    """
    check(path, node)
    try:
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


def check(path: str, node: Mapping[str, Any]) -> None:
    """Raises ConfigError for a bad target or setting of a node or of one inside it."""
    found = list(nodes(path, node))
    for where, each in found:
        if not str(each["_target_"]).startswith("kvdistill."):
            raise ConfigError(
                f"{where}._target_ must lie inside kvdistill., got {each['_target_']!r}. "
                f"Put the strategy in a module of the package."
            )
    for where, each in found:
        kinds.check(where, each, target(where, each))


def target(path: str, node: Mapping[str, Any]) -> Any:
    """What a node is built by, itself."""
    try:
        return get_object(str(node["_target_"]))
    except (ImportError, ValueError) as error:
        raise ConfigError(f"{path}._target_: {str(error).splitlines()[0]}") from error


def nodes(path: str, node: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(path, node) of every node with a `_target_`, nested ones too."""
    if isinstance(node, Mapping):
        if "_target_" in node:
            yield path, node
        for key, value in node.items():
            yield from nodes(f"{path}.{key}", value)
    elif isinstance(node, list | tuple):
        for place, value in enumerate(node):
            yield from nodes(f"{path}[{place}]", value)
