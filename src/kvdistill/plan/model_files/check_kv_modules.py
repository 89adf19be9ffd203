"""Refuses, when a run is planned, models and layers whose files say that they keep no K and V.

A first answer without torch: what a family's name does not tell is proven before anything is queued
(models/check_capture.py).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kvdistill.config.compose import Config
from kvdistill.errors import ConfigError
from kvdistill.geometry import Geometry
from kvdistill.kv_modules import name_kv_modules
from kvdistill.layers.from_config import pair_teacher_layers
from kvdistill.layers.select import select_layers
from kvdistill.plan.hub_models import PRETRAINED
from kvdistill.plan.model_files.complete_geometry import find_model_file
from kvdistill.plan.model_files.stated_geometry import read_model_settings
from kvdistill.plan.teaching.signals import matches_kv


def check_kv_modules(config: Config) -> None:
    """Raises ConfigError for a model of a K and V objective that has none to be captured.

    `config` has whole geometries; a model whose file is not on this machine is not asked.
    """
    if not (config["trained"] and matches_kv(config)):
        return
    for role, node, layers in list_read_layers(config):
        source = node.get("pretrained") or {}
        if source.get("_target_") != PRETRAINED:
            continue
        path = find_model_file(source, online=False)
        if path is None:
            continue
        modules = name_kv_modules(read_model_settings(path))
        if modules.refusal:
            raise ConfigError(
                f"{role}: {path} {modules.refusal}. It can be fine-tuned (arm=sft) and scored "
                f"alone; to distil keys and values, use a model that docs/architectures.md lists."
            )
        if without := sorted(set(layers) & set(modules.layers_without)):
            raise ConfigError(
                f"{role}: {path} keeps no K and V in layers {', '.join(map(str, without))}, which "
                f"layers.range and layers/map would read. Leave them out of layers.range, or "
                f"choose another layers/map."
            )


def list_read_layers(config: Config) -> Iterator[tuple[str, Mapping[str, Any], Sequence[int]]]:
    """(config path, node, layers whose K and V are read) of the student and every teacher."""
    depth = Geometry.from_node(config["student"]).layers
    yield "student", config["student"], select_layers(config["layers"]["range"], depth)
    for name, node in config["teachers"].items():
        pairs = pair_teacher_layers(config, node)
        read = sorted({layer for pair in pairs for layer in pair.teacher_layers})
        yield f"teachers.{name}", node, read
