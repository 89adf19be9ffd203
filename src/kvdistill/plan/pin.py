"""Inputs pinned when a plan is made: local files by content, so that an edit is a new run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kvdistill.errors import ConfigError
from kvdistill.files import sha256


def pin(node: Any, path: str = "", hashes: dict[str, str] | None = None) -> Any:
    """The config with `sha256` beside every local `path` or `root`.

    Raises ConfigError for a missing one.
    """
    hashes = {} if hashes is None else hashes
    if isinstance(node, list):
        return [pin(value, f"{path}[{i}]", hashes) for i, value in enumerate(node)]
    if not isinstance(node, Mapping):
        return node
    pinned = {key: pin(value, f"{path}{key}.", hashes) for key, value in node.items()}
    key = "root" if "root" in node else "path"
    local = node.get(key)
    if isinstance(local, str) and "_target_" in node:
        if not Path(local).exists():
            raise ConfigError(
                f"{path}{key}={local} does not exist. Give an existing file or folder."
            )
        if local not in hashes:
            hashes[local] = sha256(Path(local))
        pinned["sha256"] = hashes[local]
    return pinned
