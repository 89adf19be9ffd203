"""Where a model's weights lie: execution, never identity."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kvdistill.config.structured import to_dataclass
from kvdistill.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Placement:
    """The `placement` of a student's or teacher's YAML."""

    device: str = "auto"
    """auto (this rank's GPU if there is one), cpu or cuda."""
    shard: str = "none"
    """none; zero3 divides the weights among the ranks, zero3_offload those in the CPU's memory."""


DEVICES = ("auto", "cpu", "cuda")
SHARDS = ("none", "zero3", "zero3_offload")


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
    if placement.shard != "none" and placement.device == "cpu":
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
