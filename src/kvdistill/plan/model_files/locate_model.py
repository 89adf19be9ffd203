"""Where a model is that a command names by a path or a repository, and what its own file says."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kvdistill.config.check_files import MODEL_CONFIG, check_local_path, check_model_folder
from kvdistill.errors import ConfigError
from kvdistill.plan import hub
from kvdistill.plan.model_files.stated_geometry import (
    derive_head_dim,
    read_model_settings,
    read_stated_geometry,
)

REPOSITORY = re.compile(r"(?P<name>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?")
"""OWNER/NAME of the hub, and @ a branch, tag or commit."""
SMALL_FILES = (
    MODEL_CONFIG, "tokenizer*", "*token*.json", "vocab*", "merges.txt", "chat_template*", "spiece*",
    "*.tiktoken", "tekken.json",
)  # fmt: skip
"""Of a repository: config and tokenizer, no weights."""


@dataclass(frozen=True)
class LocatedModel:
    """A model as its YAML will name it."""

    source: Mapping[str, str]
    """The fields of `models.pretrained.Pretrained` that say where it is."""
    file: Path
    """Its config.json or GGUF file."""

    @property
    def settings(self) -> dict[str, Any]:
        """What its file says, as a config.json would."""
        return read_model_settings(self.file)

    @property
    def geometry(self) -> dict[str, Any]:
        """The fields of its geometry that its file states."""
        return derive_head_dim(read_stated_geometry(self.file))


def locate_model(model: str) -> LocatedModel:
    """The model that a path or a repository of the hub names; of a repository its config is read.

    Raises:
        ConfigError: for what is neither, for a folder that holds no model or several, and for a
            repository that is not to be had.
    """
    path = Path(model).expanduser()
    if path.exists():
        return locate_local_model(path.absolute())
    repository = REPOSITORY.fullmatch(model)
    if repository is None:
        raise ConfigError(
            f"model={model} is no folder or GGUF file here, and no OWNER/NAME of the hub. Give one."
        )
    return locate_hub_model(repository["name"], repository["revision"] or "main")


def locate_local_model(path: Path) -> LocatedModel:
    """A folder with a config.json or one GGUF file, or such a file."""
    check_local_path(str(path), "model")
    if path.suffix.lower() == ".gguf":
        return LocatedModel({"path": str(path.parent), "gguf_file": path.name}, path)
    if path.name == MODEL_CONFIG:
        path = path.parent
    if path.is_dir() and not (path / MODEL_CONFIG).is_file():
        packed = sorted(each for each in path.iterdir() if each.suffix.lower() == ".gguf")
        if len(packed) == 1:
            return locate_local_model(packed[0])
        if packed:
            names = ", ".join(each.name for each in packed)
            raise ConfigError(f"model={path} holds several GGUF files: {names}. Name one of them.")
    check_model_folder(str(path), None, "model", "model")
    return LocatedModel({"path": str(path)}, path / MODEL_CONFIG)


def locate_hub_model(name: str, revision: str) -> LocatedModel:
    """A repository at the commit that its branch names now."""
    resolution = hub.resolve_commit(hub.Repo(name, "model", revision), online=True)
    if resolution.commit is None:
        raise ConfigError(
            f"model={name} at {revision} is not here and not to be had from the hub: "
            f"{resolution.why}. Give a folder, or repeat the command where there is a network."
        )
    repo = hub.Repo(name, "model", resolution.commit)
    folder = hub.download_files(repo, SMALL_FILES)
    file = None if folder is None else folder / MODEL_CONFIG
    if file is None or not file.is_file():
        raise ConfigError(
            f"model={name} at {revision} gives no {MODEL_CONFIG}: it holds GGUF files alone, or "
            f"its licence is not accepted. Download a GGUF file and give its path, or accept the "
            f"licence on the hub and run `hf auth login`."
        )
    return LocatedModel({"hub": name, "revision": resolution.commit}, file)
