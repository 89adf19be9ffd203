"""The layer pairs of a config."""

from collections.abc import Mapping
from typing import Any

from kvdistill.config.build import build_node
from kvdistill.geometry import Geometry
from kvdistill.layers.base import LayerPair
from kvdistill.layers.select import select_layers


def pair_layers(config: Mapping[str, Any], teacher: Geometry) -> list[LayerPair]:
    """The student layers that `layers.range` names, paired with those of this teacher."""
    depth = Geometry.from_node(config["student"]).layers
    pairs: list[LayerPair] = build_node("layers.map", config["layers"]["map"])(
        select_layers(config["layers"]["range"], depth),
        student_layers=depth,
        teacher_layers=teacher.layers,
    )
    return pairs
