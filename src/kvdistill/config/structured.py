"""A config node with the types of a dataclass."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, get_type_hints

from omegaconf import OmegaConf
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException

from kvdistill.config import types
from kvdistill.errors import ConfigError

# Merging costs milliseconds, and a sweep asks for the same groups hundreds of times.
_whole: dict[tuple[type, str, str], Any] = {}
"""What was made of a node before: the arms of one command have most of their groups alike."""


def to_dataclass(
    kind: type,
    node: Mapping[str, Any],
    path: str,
    convert: Callable[[Any], Any] = OmegaConf.to_object,
) -> Any:
    """The node as a `kind`, or as what `convert` makes of it; whole unless that allows gaps.

    Raises ConfigError naming the key below `path`.
    """
    if convert is not OmegaConf.to_object:
        return merge_into_dataclass(kind, node, path, convert)
    alike = (kind, path, repr(node))  # tells 1, 1.0 and True apart, as equality does not
    if alike not in _whole:
        _whole[alike] = merge_into_dataclass(kind, node, path, convert)
    return copy.deepcopy(_whole[alike])


def merge_into_dataclass(
    kind: type, node: Mapping[str, Any], path: str, convert: Callable[[Any], Any]
) -> Any:
    """The node, typed. Raises as `structured`."""
    try:
        merged = convert(OmegaConf.merge(OmegaConf.structured(kind), dict(node)))
    except (OmegaConfBaseException, OverflowError) as error:
        key = f"{path}.{full_key}" if (full_key := getattr(error, "full_key", None)) else path
        if isinstance(error, ConfigKeyError) and is_dataclass(error.object_type):
            group, _, name = key.rpartition(".")
            known = [field.name for field in fields(error.object_type)]
            raise ConfigError(
                f"{key} is no setting.{types.suggest_key(group, name, known)}"
            ) from error
        raise ConfigError(f"{key}: {types.shorten(str(error).splitlines()[0])}.") from error
    if isinstance(merged, kind):  # OmegaConf looks at no item of a mapping that it merges
        for name, hint in get_type_hints(kind).items():
            if not types.is_of_kind(value := getattr(merged, name), hint):
                raise ConfigError(
                    f"{path}.{name}={types.format_value(value)} must be "
                    f"{types.describe_kind(hint)}."
                )
    return merged
