"""From overrides to one resolved config, or one clear line saying what is wrong with them."""

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from hydra import compose as hydra_compose
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException, OverrideParseException
from omegaconf import OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from kvdistill import redact
from kvdistill.config import (
    build,
    check_shape,
    check_values,
    compose_cache,
    hydra_guard,
    schema,
    trust,
)
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
    if any(item.startswith("+") for item in overrides):  # what is known costs as much again
        check_values.check_added(overrides, list(known_keys()))
    return check_config(cast("Config", config), choices)


def check_config(config: Config, choices: Mapping[str, Any]) -> Config:
    """The config with Hydra's choices in it, after every check that needs no torch."""
    config["choices"] = {
        group: choice
        for group, choice in choices.items()
        if not group.startswith("hydra/") and "@" not in group
    }
    check_shape.check_size("", config)
    build.check_no_interpolation("", config)
    if held := next(redact.find_secret_paths(config), None):
        raise ConfigError(hydra_guard.describe_secret(held))
    check_values.check_groups(config)
    check_shape.check_presence(config)
    trust.check_trust(config, config["trust"])
    schema.normalise_groups(config)
    check_arm(config)
    check_values.check_values(config)
    check_shape.check_finite(config)
    return config


def check_arm(config: Mapping[str, Any]) -> None:
    """Refuses an override that contradicts what the arm fixes."""
    for path, fixed in config["fixes"].items():
        got = config["choices"].get(path) if path in config["choices"] else None
        if got is None:
            got = schema.lookup_path(config, path)
        if got != fixed:
            raise ConfigError(
                f"{path}={got} contradicts arm={config['arm']}, which fixes {path}={fixed}. "
                f"Drop the override or choose another arm."
            )


def explain_error(error: Exception) -> str:
    """Hydra's or OmegaConf's complaint as one line that names the setting and the way out."""
    text = str(error)
    if isinstance(error, OverrideParseException):
        key = error.override.partition("=")[0]
        return f"{key} cannot be read: {text.splitlines()[0]}. Quote what Hydra reads as its own."
    if match := re.match(r"ConfigError raised while resolving interpolation: (.*)", text):
        return f"{getattr(error, 'full_key', None) or 'the config'}: {match[1]}"
    if isinstance(error, MissingMandatoryValue):
        return f"{error.full_key} must be given: add {error.full_key}=VALUE."
    if match := re.search(r"Missing mandatory value: (\S+)", text):
        return f"{match[1]} must be given: add {match[1]}=VALUE."
    if match := re.match(r"Interpolation key '([^']+)' not found", text):
        return (
            f"{getattr(error, 'full_key', None) or 'the config'} takes its value from {match[1]}, "
            f"which nothing here sets. Choose a scale that sets it, or leave this choice."
        )
    if match := re.search(r"Could not find '([^']+)/([^'/]+)'", text):
        group, choice = match.groups()
        options = GlobalHydra.instance().config_loader().get_group_options(group)
        return f"{group}={choice} is no choice of {group}. Choose one of {', '.join(options)}."
    if match := re.search(r"Could not override '([^']+)'", text):
        key = match[1].split("@")[0]
        known = list(known_keys())
        if key in known:
            return f"{key} is no setting here: the chosen groups leave it out. Drop it."
        close = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
        hint = f" Did you mean {close[0]}?" if close else " See python launch.py --help."
        return f"{key} is no setting.{hint}"
    cause = error.__cause__
    lines = [line.strip() for line in f"{text}\n{cause or ''}".splitlines() if line.strip()]
    return " ".join(dict.fromkeys(lines))


def known_keys() -> Iterator[str]:
    """Every group and every dotted key of the default config."""
    loader = GlobalHydra.instance().config_loader()
    yield from (group for group in loader.list_groups("") if group != "hydra")
    yield from ("layers/map", "loss/balance")
    plain = OmegaConf.to_container(hydra_compose("config"), resolve=False)
    assert isinstance(plain, dict)
    yield from walk_keys(plain)


def walk_keys(node: Mapping[Any, Any], prefix: str = "") -> Iterator[str]:
    """The dotted paths of a nested mapping, inner ones too."""
    for key, value in node.items():
        path = f"{prefix}{key}"
        yield path
        if isinstance(value, Mapping):
            yield from walk_keys(value, f"{path}.")
