"""Rules of what is read of the teachers, K and V or logits; called from check_values.py."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from kvdistill.config import types
from kvdistill.config.check_texts import UNREAD
from kvdistill.errors import ConfigError

OFF_SETTINGS = {"logits": ("weight",), "kv": ("keys", "values"), "on_policy": ("every",)}
"""Group -> its settings that are 0 in its choice `none`: raised, they would undo the choice."""


def check_compression(config: Mapping[str, Any]) -> None:
    """Refuses a number of kept tokens that cannot be, whichever press it is given to."""
    if "keep" in config["compression"]:
        check_kept_tokens(config["compression"]["keep"])


def check_none_choices(config: Mapping[str, Any]) -> None:
    """Refuses a group chosen as none that a setting of its own puts to work all the same.

    The run would be called and compared as one without, and train with it.
    """
    for group, keys in OFF_SETTINGS.items():
        if config["choices"].get(group) != "none":
            continue
        for key in keys:
            if config[group][key] > 0:
                raise ConfigError(
                    f"{group}=none, but {group}.{key}={config[group][key]:g}: the one says that "
                    f"there is none of it, the other how much. Choose another {group}, or leave "
                    f"{group}.{key} out."
                )


def check_logits(config: Mapping[str, Any]) -> None:
    """Refuses a distance to distributions of teachers that are not there."""
    logits = config["logits"]
    if config["trained"] and not config["teachers"] and logits["weight"] > 0:
        raise ConfigError(
            f"teachers=none leaves logits.weight={logits['weight']} nothing to match. Use "
            f"logits=none, or choose teachers."
        )


def check_matched_parts(config: Mapping[str, Any]) -> None:
    """Refuses a weight on K and V where neither is matched, and teachers of whom nothing is."""
    if config["kv"]["keys"] + config["kv"]["values"] > 0 or not config["trained"]:
        return
    if config["loss"]["kv_weight"] > 0:
        raise ConfigError(
            f"kv.keys and kv.values are both 0, so loss.kv_weight={config['loss']['kv_weight']:g} "
            f"has nothing to match. Raise one, or use loss.kv_weight=0."
        )
    read = config["teachers"] and config["source"].get("_target_") != UNREAD
    if read and not config["logits"]["weight"]:
        raise ConfigError(
            "kv=none and logits=none leave nothing of the teachers to match. Use arm=sft, or "
            "choose logits, as logits=forward_kl."
        )


def check_kept_tokens(keep: Any) -> None:
    """Refuses what is neither a ratio in (0, 1], as a float, nor a number of tokens from 1 on.

    How it is written decides: 1.0 is all tokens, 1 is one token.
    """
    # Python counts True as a whole number.
    whole = isinstance(keep, int) and not isinstance(keep, bool) and keep >= 1
    if whole or (isinstance(keep, float) and 0 < keep <= 1):
        return
    raise ConfigError(
        f"compression.keep={types.format_value(keep)} must be a ratio in (0, 1] with a decimal "
        f"point (1.0: all tokens), or a whole number of tokens (1: one token). Use "
        f"compression=full to keep everything."
    )


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


def check_teacher_weights(
    path: str, weights: Sequence[float], teachers: Sequence[str], null_is: str
) -> None:
    """Refuses weights that are not one a teacher, that are negative, or that do not sum to 1.

    `null_is` says what null stands for.
    """
    if len(weights) != len(teachers):
        raise ConfigError(
            f"{path}={list(weights)} has {len(weights)} weights for {len(teachers)} teachers "
            f"({', '.join(teachers)}). Give one each, or null for {null_is}."
        )
    if min(weights) < 0 or not math.isclose(sum(weights), 1, abs_tol=1e-6):
        raise ConfigError(
            f"{path}={list(weights)} must not be negative and must sum to 1, not "
            f"{sum(weights):g}. Rescale them, or give null for {null_is}."
        )
