"""From a config node to the object it names: the only caller of Hydra's `instantiate`."""

from collections.abc import Iterator, Mapping
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate

from kvdistill.errors import ConfigError, UserError


def build(path: str, node: Mapping[str, Any], **runtime: Any) -> Any:
    """Instantiates the node found at `path`; `runtime` are facts that no YAML can know.

    Raises ConfigError for a target outside this package and for what the target refuses.
    """
    for target in targets(node):
        if not target.startswith("kvdistill."):
            raise ConfigError(
                f"{path}._target_ must lie inside kvdistill., got {target!r}. "
                f"Put the strategy in a module of the package."
            )
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


def targets(node: Any) -> Iterator[str]:
    """Every `_target_` in a node, nested ones too."""
    if isinstance(node, Mapping):
        if "_target_" in node:
            yield str(node["_target_"])
        for value in node.values():
            yield from targets(value)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from targets(value)
