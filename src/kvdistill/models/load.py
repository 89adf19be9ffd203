"""A student or teacher from its config node: built by the project, or pretrained."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from accelerate import dispatch_model, infer_auto_device_map
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kvdistill import distributed, layout
from kvdistill.config.build import build_node
from kvdistill.config.check_models import WHOLE, read_placement
from kvdistill.config.trust import brings_code
from kvdistill.errors import ConfigError
from kvdistill.geometry import Geometry
from kvdistill.models.decoder import truncate_decoder
from kvdistill.models.geometry import verify_geometry
from kvdistill.models.pretrained import Pretrained

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def read_dtype(node: Mapping[str, Any], role: str) -> torch.dtype:
    """The dtype its weights are loaded as. Raises ConfigError for another name."""
    if node["dtype"] not in DTYPES:
        raise ConfigError(
            f"{role}.dtype={node['dtype']} is none of {', '.join(DTYPES)}. Choose one of them."
        )
    return DTYPES[node["dtype"]]


def resolve_weights(node: Mapping[str, Any], role: str, folder: Path | None) -> Pretrained:
    """Where its weights lie: in `folder` for a model that the project built, else by its node."""
    if folder is not None:
        # The folder holds a copy of the code that the command trusted when it was built.
        return Pretrained(path=str(folder / layout.MODEL), trust_remote_code=brings_code(node))
    weights: Pretrained = build_node(f"{role}.pretrained", node["pretrained"])
    return weights


def load_model(node: Mapping[str, Any], role: str, folder: Path | None) -> PreTrainedModel:
    """The model with its head, on the CPU, checked against its YAML's geometry.

    `role` is its config path (student, teachers.a), named in errors.
    """
    model = resolve_weights(node, role, folder).load_model(read_dtype(node, role))
    if node["geometry"] is not None:  # null where a model is only evaluated
        verify_geometry(Geometry.from_node(node), model.config, f"{role}.geometry")
    return model


def load_body(node: Mapping[str, Any], role: str, folder: Path | None, deepest: int) -> nn.Module:
    """A teacher's frozen decoder up to layer `deepest`, where its placement puts it.

    Layers above are never loaded. Where the placement shards, every rank must call this. Raises
    ConfigError for a geometry that the weights do not have, or a placement that cannot be.
    """
    source, dtype, device = (
        resolve_weights(node, role, folder),
        read_dtype(node, role),
        choose_device(node, role),
    )
    verify_geometry(Geometry.from_node(node), source.load_config(), f"{role}.geometry")

    def load_decoder() -> nn.Module:
        return (
            truncate_decoder(source.load_body(dtype, deepest + 1), deepest)
            .eval()
            .requires_grad_(False)
        )

    sharding = check_decided(node, role)
    if sharding == "none":
        return load_decoder().to(device)
    # DeepSpeed's CPU accelerator has float16 on some processors only.
    if dtype == torch.float16 and device.type == "cpu":
        raise ConfigError(
            f"{role}.dtype=float16 cannot be sharded on a CPU. Use bfloat16 or float32."
        )
    from kvdistill.models.zero3 import shard_model  # DeepSpeed is slow to import

    hidden_size = node["geometry"]["hidden_size"]
    return shard_model(load_decoder, dtype, hidden_size, offload=sharding == "zero3_offload")


def place_for_scoring(
    model: PreTrainedModel, node: Mapping[str, Any], role: str
) -> PreTrainedModel:
    """The model where this process computes; one that is divided over all GPUs that it sees.

    Whole layers go to one GPU after the other, and a forward passes through them in turn
    (accelerate's device map). Raises ConfigError where they do not hold it.
    """
    device = choose_device(node, role)
    divided = read_placement(node, role).shard not in WHOLE
    if device.type != "cuda" or not divided or torch.cuda.device_count() == 1:
        model.to(device)  # type: ignore[arg-type]  # wrongly stubbed
        return model
    device_map = infer_auto_device_map(model, no_split_module_classes=model._no_split_modules)
    if left := sorted({str(place) for place in device_map.values()} & {"cpu", "disk"}):
        raise ConfigError(
            f"{role}: {node['name']} does not fit the {torch.cuda.device_count()} GPUs of this "
            f"job, and parts of it would lie on {left[0]}. Raise cluster.gpus."
        )
    return cast("PreTrainedModel", dispatch_model(model, device_map))


def check_decided(node: Mapping[str, Any], role: str) -> str:
    """How the model is divided. Raises ConfigError for `auto`, which a plan decides."""
    shard = read_placement(node, role).shard
    if shard == "auto":
        raise ConfigError(
            f"{role}.placement.shard=auto is decided when a run is planned. Give none or zero3."
        )
    return shard


def choose_device(node: Mapping[str, Any], role: str) -> torch.device:
    """Where this process computes with the model. Raises ConfigError for a GPU that is missing."""
    setting = read_placement(node, role).device
    local_device = distributed.get_local_device()
    if setting == "cuda" and local_device.type != "cuda":
        raise ConfigError(
            f"{role}.placement.device=cuda, but this machine shows no GPU. Use auto or cpu."
        )
    return torch.device("cpu") if setting == "cpu" else local_device


def load_tokenizer(
    node: Mapping[str, Any], role: str, folder: Path | None
) -> PreTrainedTokenizerBase:
    """The tokenizer of a student or teacher."""
    return resolve_weights(node, role, folder).load_tokenizer()
