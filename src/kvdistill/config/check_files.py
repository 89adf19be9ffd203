"""Rules of what lies on disk under a path that a config names; asked when the path is pinned."""

from pathlib import Path

from kvdistill.config import types
from kvdistill.errors import ConfigError

MODEL_CONFIG = "config.json"
"""What transformers reads of a folder first: one without it is no model, whatever it holds."""


def check_local_path(local: str, path: str) -> None:
    """Refuses what is neither a file nor a folder: a pipe would be waited for."""
    place = Path(local)
    try:
        # is_file follows links and may raise on a name that the system cannot have.
        exists, readable = place.exists(), place.is_file() or place.is_dir()
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{path}={types.format_value(local)} is no name that a file can have."
        ) from error
    if not exists:
        raise ConfigError(f"{path}={local} does not exist. Give an existing file or folder.")
    if not readable:
        raise ConfigError(f"{path}={local} is a device or a pipe. Give a file or folder.")


def check_model_folder(local: str, gguf_file: str | None, path: str, setting: str) -> None:
    """Refuses a folder that transformers cannot read a model from.

    `path` is its config path, `setting` that of its GGUF file. It exists, as `check_local_path`
    asks. transformers' own refusal comes in a job, and speaks of a tokenizer's backend.
    """
    folder = Path(local)
    if not folder.is_dir():
        raise ConfigError(
            f"{path}={local} is a file, and a model is a folder. Give {path}={folder.parent} "
            f"and, for a GGUF file, {setting}={folder.name}."
        )
    held = sorted(each.name for each in folder.iterdir())
    packed = [name for name in held if name.lower().endswith(".gguf")]
    if gguf_file is not None:
        if not (folder / gguf_file).is_file():
            raise ConfigError(
                f"{setting}={gguf_file} is no file in {local}, which holds "
                f"{types.format_value(packed or held)}. Name a GGUF file that lies there."
            )
        return
    if MODEL_CONFIG not in held:
        way_out = (
            f"Name the GGUF file: {setting}={packed[0]}."
            if packed
            else "Give a folder that save_pretrained wrote, or one with a GGUF file and its name "
            f"as {setting}=NAME."
        )
        raise ConfigError(
            f"{path}={local} holds no {MODEL_CONFIG}, so it is no model that transformers reads; "
            f"it holds {types.format_value(held)}. {way_out}"
        )
