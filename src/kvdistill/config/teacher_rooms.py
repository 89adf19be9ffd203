"""A projection and a layer map of a teacher's own, in its node, in the place of the run's.

They are `teachers.NAME.projection` and `teachers.NAME.layers.map`. A student that was cut from one
teacher has that one's heads and layers, and a stranger's not: it can be compared with the first by
identity and anchors, and with the second by a fitted map.
"""

from collections.abc import Mapping
from typing import Any

from kvdistill.config import types
from kvdistill.errors import ConfigError

OWN_ROOMS = ("projection", "layers")
"""Of a teacher's node, what is no part of the model: how it is compared."""


def apply_own_rooms(config: Mapping[str, Any], teacher: Mapping[str, Any]) -> dict[str, Any]:
    """The config as this teacher is compared by it; `config` itself stays."""
    seen = dict(config)
    if "projection" in teacher:
        seen["projection"] = teacher["projection"]
    if "layers" in teacher:
        seen["layers"] = {**config["layers"], **teacher["layers"]}
    return seen


def drop_own_rooms(node: Any) -> Any:
    """A teacher's node as a model alone; what is no mapping as it is."""
    if not isinstance(node, Mapping):
        return node
    return {key: value for key, value in node.items() if key not in OWN_ROOMS}


def list_own_rooms(config: Mapping[str, Any], teacher: Mapping[str, Any]) -> dict[str, Any]:
    """What of a teacher's own rooms is other than the run's, as its node has it."""
    seen = apply_own_rooms(config, teacher)
    own: dict[str, Any] = {}
    # A calibration or store has no projection.
    if seen.get("projection") != config.get("projection"):
        own["projection"] = seen["projection"]
    if seen["layers"] != config["layers"]:
        own["layers"] = {"map": seen["layers"]["map"]}
    return own


def check_own_rooms(path: str, node: Mapping[str, Any]) -> None:
    """Raises ConfigError for rooms of a teacher's own that are no choices of theirs."""
    rooms = {"projection": node.get("projection")} if "projection" in node else {}
    if "layers" in node:
        layers = node["layers"]
        if not isinstance(layers, Mapping) or set(layers) != {"map"}:
            raise ConfigError(
                f"{path}.layers={types.format_value(layers)} must hold a map alone: which of the "
                f"student's layers are matched is layers.range, for all teachers."
            )
        rooms["layers.map"] = layers["map"]
    for room, value in rooms.items():
        if not isinstance(value, Mapping) or not isinstance(value.get("_target_"), str):
            group = room.replace(".", "/")
            raise ConfigError(
                f"{path}.{room} must be a choice of {group}, got {types.format_value(value)}. "
                f"Write +{group}@{path}.{room}=CHOICE."
            )
