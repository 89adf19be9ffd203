"""config.yaml of a job's folder: the recipe that the job reads, sealed with a hash of itself."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from kvdistill import layout
from kvdistill.errors import ArtifactError
from kvdistill.files import is_complete, read_json, write_text
from kvdistill.plan.graph import Node

# libyaml's is the same safe loader, 30 times as fast: a report reads hundreds of these.
RecipeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def write_recipe(node: Node, folder: Path) -> None:
    """config.yaml: what the node's job reads. Frozen once written, unless the job failed.

    The same name means the same science; how a failed job was executed may be why it failed.
    """
    if not is_begun(folder):
        frozen = {"kind": node.kind, "needs": dict(node.needs), "recipe": dict(node.recipe)}
        write_text(folder / layout.CONFIG, seal_recipe(frozen))


def is_begun(folder: Path) -> bool:
    """Whether a job of this folder goes on as it was frozen; one that failed begins anew."""
    status = folder / layout.STATUS
    failed = status.is_file() and read_json(status)["state"] == "failed" and not is_complete(folder)
    return (folder / layout.CONFIG).exists() and not failed


def seal_recipe(frozen: Mapping[str, Any]) -> str:
    """The text of a config.yaml; its last line is a hash of the others."""
    text = yaml.safe_dump(dict(frozen), sort_keys=False, allow_unicode=True)
    return f"{text}seal: {hashlib.sha256(text.encode()).hexdigest()}\n"


def read_recipe(folder: Path) -> Node:
    """The node that was frozen in a folder. Raises ArtifactError unless it is as written."""
    path = folder / layout.CONFIG
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise ArtifactError(f"{path} is missing. Repeat the command that makes it.") from error
    # Bytes, not parsed YAML: whatever was altered shows, also a comment or an order of keys.
    text, _, seal = content.rpartition(b"seal: ")
    if seal.decode(errors="replace") != hashlib.sha256(text).hexdigest() + "\n":
        raise ArtifactError(
            f"{path} is altered since it was written. Delete {path} and repeat the command."
        )
    frozen = yaml.load(text, Loader=RecipeLoader)
    return Node(frozen["kind"], folder.name, frozen["recipe"], frozen["needs"])
