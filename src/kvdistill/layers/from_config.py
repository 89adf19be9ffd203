"""The layer pairs of a config, and whether its models have such layers."""

from collections.abc import Mapping
from typing import Any

from kvdistill.config.build import build_node
from kvdistill.geometry import Geometry
from kvdistill.layers.base import LayerPair
from kvdistill.layers.select import select_layers
from kvdistill.layers.teacher_rooms import apply_own_rooms


def pair_layers(config: Mapping[str, Any], teacher: Geometry) -> list[LayerPair]:
    """The student layers that `layers.range` names, paired with those of this teacher."""
    depth = Geometry.from_node(config["student"]).layers
    pairs: list[LayerPair] = build_node("layers.map", config["layers"]["map"])(
        select_layers(config["layers"]["range"], depth),
        student_layers=depth,
        teacher_layers=teacher.layers,
    )
    return pairs


def pair_teacher_layers(config: Mapping[str, Any], teacher: Mapping[str, Any]) -> list[LayerPair]:
    """The same by the teacher's node: by its own layer map, where it has one."""
    return pair_layers(apply_own_rooms(config, teacher), Geometry.from_node(teacher))


def check_layers(config: Mapping[str, Any]) -> None:
    """Refuses a range beyond the student, and a map beyond a teacher, of an arm that trains.

    Raises:
        ConfigError: naming layers.range or layers.map.
    """
    if not config["trained"]:
        return
    select_layers(config["layers"]["range"], Geometry.from_node(config["student"]).layers)
    for teacher in config["teachers"].values():
        pair_teacher_layers(config, teacher)
