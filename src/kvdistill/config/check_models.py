"""Rules of student and teachers: shape and placement; called from check_values.py."""

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

from kvdistill.config import types
from kvdistill.config.schema import Placement
from kvdistill.config.structured import to_dataclass
from kvdistill.errors import ConfigError
from kvdistill.geometry import Geometry

DEEPEST, WIDEST = 1_000, 10_000_000
"""Layers, and any other size, of a decoder."""
DEVICES = ("auto", "cpu", "cuda")
SHARDS = ("auto", "none", "zero3", "zero3_offload")
WHOLE = ("auto", "none")
"""Those that may leave a model in one piece."""


def check_geometries(config: Mapping[str, Any]) -> None:
    """Refuses a shape that no decoder has, of the student or of a teacher."""
    for path, node in types.list_models(config).items():
        geometry = node.get("geometry")
        # The file of weights that exist states it: plan/model_files/complete_geometry.py.
        if "pretrained" in node:
            check_sizes(f"{path}.geometry", geometry or {})
        else:
            check_geometry(f"{path}.geometry", geometry)


def check_geometry(path: str, node: Any) -> None:
    """Refuses a shape that no decoder has, and one that is not stated whole."""
    if not isinstance(node, Mapping):
        raise ConfigError(f"{path} must state the model's shape, got {types.format_value(node)}.")
    missing = [f.name for f in fields(Geometry) if f.default is MISSING and f.name not in node]
    if missing:
        raise ConfigError(f"{path}.{missing[0]} must be given: the model's shape is stated whole.")
    check_sizes(path, node)


def check_sizes(path: str, node: Mapping[str, Any]) -> None:
    """Refuses sizes, of those that are stated, that no decoder has."""
    types.check_arguments(path, node, Geometry)
    for key, value in node.items():
        most = DEEPEST if key == "layers" else WIDEST
        if not isinstance(value, bool) and not 1 <= value <= most:
            bound = "at least 1" if value < 1 else f"at most {most}"
            raise ConfigError(f"{path}.{key} must be {bound}, got {value}.")
    if {"heads", "kv_heads"} <= set(node) and node["heads"] % node["kv_heads"]:
        raise ConfigError(
            f"{path}.kv_heads={node['kv_heads']} must divide {path}.heads={node['heads']}: "
            f"each KV head serves as many query heads."
        )
    if node.get("head_dim", 0) % 2:
        raise ConfigError(
            f"{path}.head_dim={node['head_dim']} must be even: the rotary embedding turns pairs."
        )


def check_token_ratios(config: Mapping[str, Any]) -> None:
    """Refuses a number of tokens that no tokenizer makes of another's one."""
    for name, node in config["teachers"].items():
        ratio = node.get("tokens_per_student_token", 1.0)
        if not 0.1 <= ratio <= 10:
            raise ConfigError(
                f"teachers.{name}.tokens_per_student_token={ratio} must lie between 0.1 and 10: "
                f"the teacher's tokens for one of the student's. Leave it out where both read "
                f"alike."
            )


def read_placement(node: Mapping[str, Any], role: str) -> Placement:
    """Where the model of this node goes; `role` is its config path. Raises ConfigError."""
    placement: Placement = to_dataclass(Placement, node.get("placement") or {}, f"{role}.placement")
    for key, choices in (("device", DEVICES), ("shard", SHARDS)):
        if getattr(placement, key) not in choices:
            raise ConfigError(
                f"{role}.placement.{key}={getattr(placement, key)} is none of "
                f"{', '.join(choices)}. "
                f"Choose one of them."
            )
    if placement.shard not in WHOLE and placement.device == "cpu":
        raise ConfigError(
            f"{role}.placement.device=cpu with shard={placement.shard}: sharded weights compute "
            f"where "
            f"their rank does. Use device=auto, or shard=zero3_offload to keep them in the CPU's "
            f"memory."
        )
    return placement


def check_placements(config: Mapping[str, Any]) -> None:
    """Refuses a placement that cannot be, and a student in parts."""
    for name, node in config["teachers"].items():
        read_placement(node, f"teachers.{name}")
    if (shard := read_placement(config["student"], "student").shard) != "none":
        raise ConfigError(
            f"student.placement.shard={shard}, but only frozen teachers are sharded so. Set it to "
            f"none; train=zero2 divides the student's optimiser state."
        )
