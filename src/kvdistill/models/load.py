"""A student or teacher from its config node: built by the project, or pretrained."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kvdistill import distributed
from kvdistill.config import placement
from kvdistill.config.build import build_node
from kvdistill.errors import ConfigError
from kvdistill.geometry import Geometry
from kvdistill.models.capture import cut
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
    found: Pretrained = build_node(f"{role}.pretrained", node["pretrained"])
    return found


def model(node: Mapping[str, Any], role: str, folder: Path | None) -> PreTrainedModel:
    """The model with its head, on the CPU, checked against its YAML's geometry.

    `role` is its config path (student, teachers.a), named in errors.
    """
    loaded = pretrained(node, role, folder).model(dtype(node, role))
    if node["geometry"] is not None:  # null where a model is only evaluated
        check(Geometry.of(node), loaded.config, f"{role}.geometry")
    return loaded


def body(node: Mapping[str, Any], role: str, folder: Path | None, deepest: int) -> nn.Module:
    """A teacher's frozen decoder up to layer `deepest`, where its placement puts it.

    What lies above is never loaded. Every rank must call this where the placement shards.
    """
    source, kind, placed = pretrained(node, role, folder), dtype(node, role), device(node, role)
    check(Geometry.of(node), source.config(), f"{role}.geometry")

    def load() -> nn.Module:
        return cut(source.body(kind, deepest + 1), deepest).eval().requires_grad_(False)

    how = placement.read_placement(node, role).shard
    if how == "none":
        return load().to(placed)
    if kind == torch.float16 and placed.type == "cpu":
        raise ConfigError(
            f"{role}.dtype=float16 cannot be sharded on a CPU. Use bfloat16 or float32."
        )
    from kvdistill.models.zero3 import shard  # DeepSpeed is slow to import

    width = node["geometry"]["hidden_size"]
    return shard(load, kind, width, offload=how == "zero3_offload")


def device(node: Mapping[str, Any], role: str) -> torch.device:
    """Where this process computes with the model. Raises ConfigError for a GPU that is missing."""
    wanted = placement.read_placement(node, role).device
    found = distributed.local_device()
    if wanted == "cuda" and found.type != "cuda":
        raise ConfigError(
            f"{role}.placement.device=cuda, but this machine shows no GPU. Use auto or cpu."
        )
    return torch.device("cpu") if wanted == "cpu" else found


def computes_on(loaded: nn.Module) -> torch.device:
    """Where a body takes its tokens, wherever its weights rest."""
    engine = loaded.__dict__.get("engine")
    found: torch.device = (
        next(loaded.parameters()).device if engine is None else torch.device(engine.device)
    )
    return found


def tokenizer(node: Mapping[str, Any], role: str, folder: Path | None) -> PreTrainedTokenizerBase:
    """Its tokenizer."""
    return pretrained(node, role, folder).tokenizer()
