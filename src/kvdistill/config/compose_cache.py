"""Many arms of one command, composed as Hydra would compose each, without doing it all again.

A composition is mostly choices of groups: reading files, building the defaults list, merging.
Plain values are set on the result. So each file is parsed once, each set of choices is composed
once, and values are set by Hydra's own function on a copy.
"""

import copy
from collections.abc import Sequence
from typing import Any

from hydra import compose as hydra_compose
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import OmegaConf

from kvdistill.config import hydra_guard, types
from kvdistill.config.hydra_internals import (
    get_config_loader,
    get_file_cache,
    merge_placed_files,
    select_value_overrides,
    set_values,
    skip_unread_choices,
)
from kvdistill.errors import ConfigError

LONGEST = 200
"""Characters of a choice, or of a list of them; no file has a name that is much longer."""
Composed = tuple[Any, dict[str, Any]]
"""What Hydra composed of some choices, unresolved, and all choices as it took them."""


def compose_cached(overrides: Sequence[str]) -> Composed:
    """The config of these overrides, only to be read: others share it. Raises what Hydra raises."""
    config_loader = get_config_loader()
    parsed = OverridesParser.create(config_loader=config_loader).parse_overrides(list(overrides))
    check_choices(parsed, config_loader.repository)
    values = select_value_overrides(parsed)
    # By identity: two overrides may be written alike.
    plain = {id(value) for value in values}
    choices = tuple(str(each.input_line) for each in parsed if id(each) not in plain)
    cache = get_file_cache()
    compositions = cache.extra if cache is not None else {}
    if choices not in compositions:
        compositions[choices] = compose_choices(choices)
    config, group_choices = compositions[choices]
    if values:
        # They are set in place, and the next arm wants the composition as it was.
        config = copy.deepcopy(config)
        set_values(config, values)
    return config, dict(group_choices)


def check_choices(overrides: Sequence[Override], repository: Any) -> None:
    """Refuses for a group what is no text, nor a list of texts: Hydra does so without its name."""
    for each in overrides:
        group = each.key_or_group
        if each.is_delete() or not repository.group_exists(group):
            continue
        value = each.value()
        texts = value if isinstance(value, list) else [value]
        text = str(each.input_line).partition("=")[2]
        if not all(isinstance(text, str) for text in texts) or len(text) > LONGEST:
            raise ConfigError(
                f"{group}={types.shorten(text)} is no choice of {group}. --help lists them."
            )


def check_command(words: Sequence[str]) -> None:
    """The same of a command line that Hydra would not read."""
    parser = OverridesParser.create()
    given = [word for word in words if "=" in word and not word.startswith("-")]
    for each in parser.parse_overrides(given):
        values = each.sweep_string_iterator() if each.is_sweep_override() else []
        swept = parser.parse_overrides([f"{each.key_or_group}={value}" for value in values])
        check_choices(swept or [each], get_config_loader().repository)


def compose_choices(choices: Sequence[str]) -> Composed:
    """What Hydra composes of choices alone."""
    with skip_unread_choices(), merge_placed_files():
        config = hydra_compose("config", list(choices), return_hydra_config=True)
    if config.get("trust"):
        raise ConfigError("trust is set by a file of conf/. Only a command may trust a model.")
    hydra_guard.check_shell(OmegaConf.to_container(config.get("cluster"), resolve=False), choices)
    # A struct config lets nothing be taken out.
    OmegaConf.set_struct(config, False)
    hydra = config.pop("hydra")
    OmegaConf.set_struct(config, True)
    return config, dict(hydra.runtime.choices)
