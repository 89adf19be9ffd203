"""Where a model's weights lie: execution, never identity."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kvdistill.config.structured import structured
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


def read(node: Mapping[str, Any], role: str) -> Placement:
    """Where the model of this node goes; `role` is its config path. Raises ConfigError."""
    found: Placement = structured(Placement, node.get("placement") or {}, f"{role}.placement")
    for key, choices in (("device", DEVICES), ("shard", SHARDS)):
        if getattr(found, key) not in choices:
            raise ConfigError(
                f"{role}.placement.{key}={getattr(found, key)} is none of {', '.join(choices)}. "
                f"Choose one of them."
            )
    if found.shard != "none" and found.device == "cpu":
        raise ConfigError(
            f"{role}.placement.device=cpu with shard={found.shard}: sharded weights compute where "
            f"their rank does. Use device=auto, or shard=zero3_offload to keep them in the CPU's "
            f"memory."
        )
    return found


def check(config: Mapping[str, Any]) -> None:
    """Refuses a placement that cannot be, and a student in parts."""
    for name, node in config["teachers"].items():
        read(node, f"teachers.{name}")
    if (shard := read(config["student"], "student").shard) != "none":
        raise ConfigError(
            f"student.placement.shard={shard}, but only frozen teachers are sharded so. Set it to "
            f"none; train=zero2 divides the student's optimiser state."
        )
