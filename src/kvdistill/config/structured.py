"""A config node with the types of a dataclass."""

from collections.abc import Callable, Mapping
from typing import Any, get_type_hints

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from kvdistill.config import kinds
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
        found = convert(OmegaConf.merge(OmegaConf.structured(kind), dict(node)))
    except (OmegaConfBaseException, OverflowError) as error:
        key = f"{path}.{told}" if (told := getattr(error, "full_key", None)) else path
        raise ConfigError(f"{key}: {kinds.cut(str(error).splitlines()[0])}.") from error
    if isinstance(found, kind):  # OmegaConf looks at no item of a mapping that it merges
        for name, hint in get_type_hints(kind).items():
            if not kinds.fits(value := getattr(found, name), hint):
                raise ConfigError(
                    f"{path}.{name}={kinds.shown(value)} must be {kinds.words(hint)}."
                )
    return found
