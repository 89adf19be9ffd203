"""A config node with the types of a dataclass."""

from collections.abc import Callable, Mapping
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from kvdistill.errors import ConfigError


def structured(
    kind: type,
    node: Mapping[str, Any],
    path: str,
    convert: Callable[[Any], Any] = OmegaConf.to_object,
) -> Any:
    """The node as a `kind`, or as what `convert` makes of it; whole unless that allows gaps.

    Raises ConfigError naming the key below `path`.
    """
    try:
        return convert(OmegaConf.merge(OmegaConf.structured(kind), dict(node)))
    except OmegaConfBaseException as error:
        key = f"{path}.{error.full_key}" if error.full_key else path
        raise ConfigError(f"{key}: {str(error).splitlines()[0]}.") from error
