"""Hydra's and OmegaConf's complaints as one line that names the setting and the way out."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra import compose as hydra_compose
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import OverrideParseException
from omegaconf import OmegaConf
from omegaconf.errors import MissingMandatoryValue

from kvdistill.config.choices.explain_group_key import explain_group_key
from kvdistill.config.hydra_internals import get_file_cache
from kvdistill.config.types import suggest_choice, suggest_key


@dataclass(frozen=True)
class Complaint:
    """One kind of error, and how it is said."""

    kind: type[Exception]
    pattern: str
    """Searched in the error's text."""
    explain: Callable[[Any, re.Match[str]], str]


def explain_error(error: Exception) -> str:
    """The line for the first complaint that fits; else the error's own words on one line."""
    text = str(error)
    for complaint in COMPLAINTS:
        match = re.search(complaint.pattern, text)
        if match is not None and isinstance(error, complaint.kind):
            return complaint.explain(error, match)
    cause = error.__cause__
    lines = [line.strip() for line in f"{text}\n{cause or ''}".splitlines() if line.strip()]
    return " ".join(dict.fromkeys(lines))


def explain_unread(error: OverrideParseException, _: re.Match[str]) -> str:
    """Of an override that Hydra's grammar does not read."""
    key = error.override.partition("=")[0]
    first = str(error).splitlines()[0]
    return f"{key} cannot be read: {first}. Quote what Hydra reads as its own."


def explain_interpolation(error: Exception, match: re.Match[str]) -> str:
    """Of a resolver that refuses, such as one for environment variables."""
    return f"{name_setting(error)}: {match[1]}"


def explain_missing(_: Exception, match: re.Match[str]) -> str:
    """Of a value that a file leaves to the command."""
    return f"{match[1]} must be given: add {match[1]}=VALUE."


def explain_missing_value(error: MissingMandatoryValue, _: re.Match[str]) -> str:
    """The same, found when the config is resolved."""
    return f"{error.full_key} must be given: add {error.full_key}=VALUE."


def explain_unset_source(error: Exception, match: re.Match[str]) -> str:
    """Of a value taken from another that the chosen groups do not set."""
    return (
        f"{name_setting(error)} takes its value from {match[1]}, "
        f"which nothing here sets. Choose a scale that sets it, or leave this choice."
    )


def explain_choice(_: Exception, match: re.Match[str]) -> str:
    """Of a choice that its group does not have."""
    group, choice = match.groups()
    options = GlobalHydra.instance().config_loader().get_group_options(group)
    return f"{group}={choice} is no choice of {group}. {suggest_choice(choice, options)}"


def explain_key(_: Exception, match: re.Match[str]) -> str:
    """Of a key that the config does not have."""
    key = match[1].split("@")[0]
    known = known_keys()
    if key in known:
        return f"{key} is no setting here: the chosen groups leave it out. Drop it."
    hint = suggest_key("", key, [each for each in known if "." in each or "." not in key], "")
    hint = explain_group_key(key) or hint or " See python launch.py --help."
    return f"{key} is no setting.{hint}"


def explain_several(_: Exception, match: re.Match[str]) -> str:
    """Of several values of one setting without `-m`."""
    return (
        f"{match[1]} gives several values: add -m, as in `-m {match[1]}`, for a run of each; a "
        f"list stands in brackets, as in key=[a,b]."
    )


COMPLAINTS: Sequence[Complaint] = (
    Complaint(OverrideParseException, "", explain_unread),
    Complaint(Exception, r"^Ambiguous value for argument '(.*)'\n", explain_several),
    Complaint(
        Exception, r"^ConfigError raised while resolving interpolation: (.*)", explain_interpolation
    ),
    Complaint(MissingMandatoryValue, "", explain_missing_value),
    Complaint(Exception, r"Missing mandatory value: (\S+)", explain_missing),
    Complaint(Exception, r"^Interpolation key '([^']+)' not found", explain_unset_source),
    Complaint(Exception, r"Could not find '([^']+)/([^'/]+)'", explain_choice),
    Complaint(Exception, r"Could not override '([^']+)'", explain_key),
)
"""The first that fits speaks."""


def name_setting(error: Exception) -> str:
    """The setting that OmegaConf was at, where it says so."""
    return getattr(error, "full_key", None) or "the config"


def known_keys() -> Sequence[str]:
    """Every group and every dotted key of the default config: listed once, if files are cached."""
    cache = get_file_cache()
    kept = cache.extra if cache is not None else {}
    if "known keys" not in kept:
        kept["known keys"] = tuple(list_keys())
    return tuple(kept["known keys"])


def list_keys() -> Iterator[str]:
    """The same, of a config composed anew."""
    loader = GlobalHydra.instance().config_loader()
    yield from (group for group in loader.list_groups("") if group != "hydra")
    yield from ("layers/map", "loss/balance", "loss/tokens", "loss/schedule")
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
