"""Which models may bring code: only those that the command itself names.

A model's YAML says what it needs (`trust_remote_code`, `pickle`); `trust=[...]` says that its user
has looked at it. A file that comes from elsewhere can so not allow itself to run.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from kvdistill.config.types import list_models
from kvdistill.errors import ConfigError

NEEDS = {"trust_remote_code": "runs code of its repository", "pickle": "reads pickled weights"}


def check_trust(config: Mapping[str, Any], trusted: Any) -> None:
    """Raises ConfigError for a model of the config that brings code and is not trusted."""
    if not isinstance(trusted, list) or not all(isinstance(name, str) for name in trusted):
        raise ConfigError(f"trust={trusted!r} must be a list of models, each a path or repository.")
    for path, node in list_models(config).items():
        check_trusted_node(path, node, trusted)


def brings_code(node: Any) -> bool:
    """Whether a model's node, or that of a model that it is made from, runs code of its own."""
    if not isinstance(node, Mapping):
        return False
    return bool(node.get("trust_remote_code")) or any(map(brings_code, node.values()))


def check_trusted_node(path: str, node: Any, trusted: Sequence[str]) -> None:
    """Of one model, and of a model that it is made from."""
    if not isinstance(node, Mapping):
        return
    source = node.get("path") or node.get("hub")
    for key, does in NEEDS.items():
        if node.get(key, False) is not False and source not in trusted:
            raise ConfigError(
                f"{path}.{key}={node[key]} {does}. Look at {source} first, then name it in the "
                f"command: trust=[{source}]."
            )
    # A copy of a model, or one cut from it, names its source one level down.
    for key, inner in node.items():
        check_trusted_node(f"{path}.{key}", inner, trusted)
