"""A student or teacher from its config node: built by the project, or pretrained."""

from collections.abc import Callable, Mapping
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
from kvdistill.models.answer_head import AnswerHead, split_causal_lm
from kvdistill.models.decoder import truncate_decoder
from kvdistill.models.geometry import verify_geometry
from kvdistill.models.pretrained import Pretrained
from kvdistill.status import enter_phase

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
    with enter_phase(f"reading {node['name']}"):  # gigabytes
        model = resolve_weights(node, role, folder).load_model(read_dtype(node, role))
    if node["geometry"] is not None:  # null where a model is only evaluated
        verify_geometry(Geometry.from_node(node), model.config, f"{role}.geometry")
    return model


def load_body(node: Mapping[str, Any], role: str, folder: Path | None, deepest: int) -> nn.Module:
    """A teacher's frozen decoder up to layer `deepest`, where its placement puts it.

    Layers above are never loaded. Where the placement shards, every rank must call this. Raises
    ConfigError for a geometry that the weights do not have, or a placement that cannot be.
    """
    source = check_weights(node, role, folder)

    def load_decoder() -> nn.Module:
        body = source.load_body(read_dtype(node, role), deepest + 1)
        return truncate_decoder(body, deepest).eval().requires_grad_(False)

    with enter_phase(f"reading {node['name']}"):
        return place_body(load_decoder, node, role)


def load_body_and_head(
    node: Mapping[str, Any], role: str, folder: Path | None
) -> tuple[nn.Module, AnswerHead]:
    """A teacher's whole frozen decoder, where its placement puts it, and its head.

    The head lies whole where this process computes. Raises ConfigError as `load_body` does, and
    for a model that cannot be divided so.
    """
    with enter_phase(f"reading {node['name']}"):
        return read_body_and_head(node, role, folder)


def read_body_and_head(
    node: Mapping[str, Any], role: str, folder: Path | None
) -> tuple[nn.Module, AnswerHead]:
    """The same, without a word of it in the status."""
    source = check_weights(node, role, folder)
    local_device = distributed.get_local_device()
    whole = check_decided(node, role) == "none" and choose_device(node, role) == local_device
    if whole:
        body, head = split_causal_lm(source.load_model(read_dtype(node, role)), role)
        return body.to(local_device), head.to(local_device)

    def load_decoder() -> nn.Module:
        body = source.load_body(read_dtype(node, role), Geometry.from_node(node).layers)
        return body.eval().requires_grad_(False)

    # A table that both have in common cannot lie in two places: the head is loaded on its own.
    return place_body(load_decoder, node, role), load_head(node, role, folder)


def load_head(node: Mapping[str, Any], role: str, folder: Path | None) -> AnswerHead:
    """A teacher's head alone, where this process computes; raises as `load_body_and_head`."""
    source = check_weights(node, role, folder)
    # One layer: the head is proven on its states, then the decoder is dropped.
    _, head = split_causal_lm(source.load_model(read_dtype(node, role), 1), role)
    return head.to(distributed.get_local_device())


def check_weights(node: Mapping[str, Any], role: str, folder: Path | None) -> Pretrained:
    """Where its weights lie. Raises ConfigError for a geometry that they do not have."""
    source = resolve_weights(node, role, folder)
    verify_geometry(Geometry.from_node(node), source.load_config(), f"{role}.geometry")
    return source


def place_body(
    load_decoder: Callable[[], nn.Module], node: Mapping[str, Any], role: str
) -> nn.Module:
    """The decoder where its placement puts it. Raises ConfigError for one that cannot be."""
    dtype, device, sharding = (
        read_dtype(node, role), choose_device(node, role), check_decided(node, role)
    )  # fmt: skip
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
    with enter_phase(f"reading the tokenizer of {node['name']}"):
        return resolve_weights(node, role, folder).load_tokenizer()
