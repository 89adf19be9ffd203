"""A projection and a layer map of a teacher's own, in its node, in the place of the run's.

They are `teachers.NAME.projection` and `teachers.NAME.layers.map`. A student that was cut from one
teacher has that one's heads and layers, and a stranger's not: it can be compared with the first by
identity and anchors, and with the second by a fitted map.
"""

from collections.abc import Mapping
from typing import Any

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
