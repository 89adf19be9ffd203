"""What a whole config must hold before a plan is made of it, beyond the plain groups' types."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any

from kvdistill.config import types
from kvdistill.errors import ConfigError
from kvdistill.geometry import Geometry

GROUPS = (
    "student", "teachers", "data", "style", "source", "compression", "alignment", "projection",
    "layers", "position", "kv", "fusion", "loss", "adapter", "budget", "train", "tasks", "stats",
    "estimate", "cluster",
)  # fmt: skip
CLOSED = {
    "layers": ("range", "map"),
    "loss": ("distance", "balance", "ce_weight", "kv_weight", "entropy_weight"),
}
"""Groups of several parts that no one strategy checks, with all that they may hold."""

DEEPEST, WIDEST = 1_000, 10_000_000
"""Layers, and any other size, of a decoder."""


def check_groups(config: Mapping[str, Any]) -> None:
    """Raises ConfigError for a group taken away; every other check reads them all."""
    for group in GROUPS:
        if not isinstance(config.get(group), Mapping):
            raise ConfigError(f"{group} must be one of its choices, got none. Do not remove it.")
    for group, known in CLOSED.items():
        for key in config[group]:
            if key not in known:
                raise ConfigError(
                    f"{group}.{key} is no setting.{types.suggest_key(group, key, known)}"
                )
        for key in known:
            if key not in config[group]:
                raise ConfigError(f"{group}.{key} must be given. Do not remove it.")


def check_values(config: Mapping[str, Any]) -> None:
    """Raises ConfigError for names, numbers and geometries that no run could have."""
    check_names(config)
    weight, warmup = config["loss"]["entropy_weight"], config["train"]["warmup_ratio"]
    if not types.is_of_kind(weight, float) or not math.isfinite(weight):
        raise ConfigError(
            f"loss.entropy_weight must be a finite number, got {types.format_value(weight)}."
        )
    if warmup > 1:
        raise ConfigError(f"train.warmup_ratio must be from 0 to 1, got {warmup}.")
    if config["trained"] and not config["teachers"] and config["loss"]["kv_weight"] > 0:
        raise ConfigError(
            f"teachers=none leaves loss.kv_weight={config['loss']['kv_weight']} nothing to match. "
            f"Use arm=sft, or choose teachers."
        )
    models = {"student": config["student"]}
    models |= {f"teachers.{name}": node for name, node in config["teachers"].items()}
    for path, node in models.items():
        check_geometry(f"{path}.geometry", node.get("geometry"))


def check_names(config: Mapping[str, Any]) -> None:
    """Refuses a study that is no folder's name, and a root that is no folder."""
    study, root = config["study"], config["root"]
    for name in study if isinstance(study, list) else [study]:
        if name is not None and not re.fullmatch(r"\w[\w.+-]*", str(name)):
            raise ConfigError(
                f"study={types.format_value(name)} must be a folder's name: letters, digits, _ . "
                f"+ -. "
                f"Use root=FOLDER to put studies elsewhere."
            )
    if not isinstance(root, str) or not root:
        raise ConfigError(
            f"root={types.format_value(root)} must be a folder. Use root=. for this one."
        )
    if not root.isprintable():
        raise ConfigError(f"root={types.format_value(root)} must be printable text on one line.")
    if not isinstance(config["references"], bool):
        raise ConfigError(
            f"references={types.format_value(config['references'])} must be true or false."
        )


def check_geometry(path: str, node: Any) -> None:
    """Refuses a shape that no decoder has."""
    if not isinstance(node, Mapping):
        raise ConfigError(f"{path} must state the model's shape, got {types.format_value(node)}.")
    types.check_arguments(path, node, Geometry)
    missing = [f.name for f in fields(Geometry) if f.default is MISSING and f.name not in node]
    if missing:
        raise ConfigError(f"{path}.{missing[0]} must be given: the model's shape is stated whole.")
    for key, value in node.items():
        most = DEEPEST if key == "layers" else WIDEST
        if not isinstance(value, bool) and not 1 <= value <= most:
            bound = "at least 1" if value < 1 else f"at most {most}"
            raise ConfigError(f"{path}.{key} must be {bound}, got {value}.")
    if node["heads"] % node["kv_heads"]:
        raise ConfigError(
            f"{path}.kv_heads={node['kv_heads']} must divide {path}.heads={node['heads']}: "
            f"each KV head serves as many query heads."
        )
    if node["head_dim"] % 2:
        raise ConfigError(
            f"{path}.head_dim={node['head_dim']} must be even: the rotary embedding turns pairs."
        )


def check_added(overrides: Sequence[str], known: Sequence[str]) -> None:
    """Refuses a `+key=value` at the top of the config that no choice holds: nothing reads it."""
    for item in overrides:
        name = item.split("=", 1)[0].lstrip("+")
        if item.startswith("+") and re.fullmatch(r"\w+", name) and name not in known:
            raise ConfigError(f"{name} is no setting.{types.suggest_key('', name, known)}")
