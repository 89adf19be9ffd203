"""Where each distilled student layer's target comes from, as a config says."""

from collections.abc import Mapping
from typing import Any

from kvdistill.config.build import build_node
from kvdistill.geometry import Geometry
from kvdistill.layers.base import Source
from kvdistill.layers.select import select


def mapped(config: Mapping[str, Any], teacher: Geometry) -> list[Source]:
    """The sources of the student layers that `layers` names, in a teacher of this geometry."""
    depth = Geometry.from_node(config["student"]).layers
    found: list[Source] = build_node("layers.map", config["layers"]["map"])(
        select(config["layers"]["range"], depth),
        student_layers=depth,
        teacher_layers=teacher.layers,
    )
    return found
