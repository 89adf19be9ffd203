"""From overrides to one resolved config, or one clear line saying what is wrong with them."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from kvdistill import redact
from kvdistill.config import build, check_shape, compose_cache, hydra_guard, schema, trust
from kvdistill.config.check_values import check_values
from kvdistill.config.explain import explain_error, known_keys
from kvdistill.errors import ConfigError

Config = dict[str, Any]
"""A resolved config: plain dicts, lists, strings, numbers, None."""


def compose(overrides: Sequence[str]) -> Config:
    """The resolved and checked config for these overrides, with `choices` as Hydra took them.

    Needs Hydra to be initialised (by `hydra.main` or `initialize_config_dir`).
    """
    try:
        with hydra_guard.refuse_environment():
            composed, choices = compose_cache.compose_cached(overrides)
            config = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        raise ConfigError(explain_error(error)) from error
    if any(item.startswith("+") for item in overrides):  # what is known is composed once more
        check_shape.check_added(overrides, known_keys())
    return check_config(cast("Config", config), choices)


def check_config(config: Config, choices: Mapping[str, Any]) -> Config:
    """The config with Hydra's choices in it, after every check that needs no torch."""
    config["choices"] = {
        group: choice
        for group, choice in choices.items()
        if not group.startswith("hydra/") and "@" not in group
    }
    # The order matters: each step may rely on what those before it have made sure of.
    check_shape.check_size("", config)
    build.check_no_interpolation("", config)
    if secret := next(redact.find_secret_paths(config), None):
        raise ConfigError(hydra_guard.describe_secret(secret))
    check_shape.check_groups(config)
    check_shape.check_presence(config)
    trust.check_trust(config, config["trust"])
    schema.normalise_groups(config)
    check_values(config)
    return config
