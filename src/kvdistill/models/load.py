"""A student or teacher from its config node: built by the project, or pretrained."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kvdistill.config.build import build
from kvdistill.errors import ConfigError
from kvdistill.geometry import Geometry
from kvdistill.models.geometry import check
from kvdistill.models.pretrained import Pretrained

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def dtype(node: Mapping[str, Any], role: str) -> torch.dtype:
    """What its weights are loaded as. Raises ConfigError for a name of none."""
    if node["dtype"] not in DTYPES:
        raise ConfigError(
            f"{role}.dtype={node['dtype']} is none of {', '.join(DTYPES)}. Choose one of them."
        )
    return DTYPES[node["dtype"]]


def pretrained(node: Mapping[str, Any], role: str, folder: Path | None) -> Pretrained:
    """Where its weights lie: `folder` for one that the project built."""
    if folder is not None:
        return Pretrained(path=str(folder / "model"))
    found: Pretrained = build(f"{role}.pretrained", node["pretrained"])
    return found


def model(
    node: Mapping[str, Any], role: str, folder: Path | None, *, body: bool = False
) -> PreTrainedModel:
    """The model, checked against its YAML's geometry; `body` leaves out the head.

    `role` is its config path (student, teachers.a), named in errors.
    """
    source, kind = pretrained(node, role, folder), dtype(node, role)
    loaded = source.body(kind) if body else source.model(kind)
    if node["geometry"] is not None:  # null where a model is only evaluated
        check(Geometry(**node["geometry"]), loaded.config, f"{role}.geometry")
    return loaded


def tokenizer(node: Mapping[str, Any], role: str, folder: Path | None) -> PreTrainedTokenizerBase:
    """Its tokenizer."""
    return pretrained(node, role, folder).tokenizer()
