"""The YAML of an adopted model, and of the set that a teacher is alone."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml

from kvdistill.errors import ConfigError
from kvdistill.files import write_text
from kvdistill.geometry import Geometry
from kvdistill.plan.hub_models import PRETRAINED
from kvdistill.plan.model_files.decide_dtypes import AUTO, SURE
from kvdistill.plan.model_files.locate_model import LocatedModel

STUDENT, TEACHER = "student", "teacher"


def render_model_files(
    name: str, role: str, model: LocatedModel, geometry: Mapping[str, Any]
) -> dict[str, str]:
    """Path below conf/ -> text, of all that makes the model a choice of its group."""
    files = {f"{role}/{name}.yaml": render_model(name, role, model, geometry)}
    if role == TEACHER:
        files[f"teachers/{name}.yaml"] = (
            f"# {name} alone.\ndefaults:\n  - /teacher@a: {quote_yaml(name)}\n"
        )
    return files


def render_model(name: str, role: str, model: LocatedModel, geometry: Mapping[str, Any]) -> str:
    """The model's node, in the order and layout of the files of conf/."""
    kind = model.settings.get("model_type", "model")
    sizes = {field.name: geometry[field.name] for field in fields(Geometry)}
    lines = [
        f"# {name}, a {kind} adopted from {model.source.get('hub', model.file.name)}.",
        f"name: {quote_yaml(name)}",
        "pretrained:",
        f"  _target_: {PRETRAINED}",
        *(f"  {key}: {quote_yaml(value)}" for key, value in model.source.items()),
        *(["reads_split: false  # its tokenizer is its own"] if role == STUDENT else []),
        f"geometry: {quote_yaml(sizes)}",
        # A student's weights are trained, and sums of small steps need all digits.
        f"dtype: {SURE if role == STUDENT else AUTO}",
        f"placement: {{device: auto, shard: {'none' if role == STUDENT else 'auto'}}}",
    ]
    return "".join(f"{line}\n" for line in lines)


def quote_yaml(value: Any) -> str:
    """A value on one line of YAML, which Hydra takes as it stands."""
    if "${" in str(value):
        raise ConfigError(f"{value} holds ${{, which a config would fill in. Rename it.")
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10_000)
    return text.removesuffix("...\n").strip()


def write_model_files(conf: Path, files: Mapping[str, str]) -> list[Path]:
    """Writes what is not there yet; the files, in order.

    Raises:
        ConfigError: for a file that is there and says otherwise, before any is written.
    """
    paths = {conf / name: text for name, text in files.items()}
    for path, text in paths.items():
        if path.exists() and path.read_text(encoding="utf-8") != text:
            raise ConfigError(
                f"{path} exists and says otherwise than stage=adopt would write. Give another "
                f"name=, or remove the file."
            )
    for path, text in paths.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, text)
    return list(paths)
