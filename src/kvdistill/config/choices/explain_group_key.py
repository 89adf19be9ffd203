"""What is meant by a key below a group of choices that the chosen file does not have."""

from collections.abc import Iterator
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from omegaconf import OmegaConf

from kvdistill.config.types import suggest_key

PRIVATE = ("_target_", "_partial_", "_convert_", "defaults")
"""Keys of a choice's file that are no settings."""


def explain_group_key(key: str) -> str:
    """`loss.last_k`, `projection.rank`: the command line's shape for it; empty for other keys.

    In turn: a choice of the group or of one below it; a setting of another choice; else the
    settings of each choice.
    """
    group, _, name = key.partition(".")
    if not name or group not in list_groups(""):
        return ""
    for each in (group, *(f"{group}/{inner}" for inner in list_groups(group))):
        if name.rpartition(".")[2] in list_files(each):
            return (
                f" {name.rpartition('.')[2]} is a choice: write {each}={name.rpartition('.')[2]}."
            )
    settings = {choice: list_settings(group, choice) for choice in list_files(group)}
    owners = [choice for choice, known in settings.items() if name in known]
    if owners:
        named = " or ".join(f"{group}={choice}" for choice in owners)
        return f" It is a setting of {named}: choose that too, as in {group}={owners[0]} {key}=..."
    every = sorted({setting for known in settings.values() for setting in known})
    close = suggest_key(group, name, every, "")
    if close:
        return close
    shown = "; ".join(f"{c}: {', '.join(s)}" for c, s in settings.items() if s)
    return f" Settings of {group}'s choices are {shown}." if shown else ""


def explain_choice_value(path: str, value: str) -> str:
    """Of a text where a node must stand: `loss.tokens=last_k` is `loss/tokens=last_k`."""
    group = path.replace(".", "/")
    for each in (group, path.partition(".")[0]):
        if value in list_files(each):
            return f" Write {each}={value}: a choice is a file of conf/{each}/."
    return ""


def list_groups(group: str) -> list[str]:
    """The groups below one."""
    loader = GlobalHydra.instance().config_loader()
    return [name for name in loader.get_group_options(group, ObjectType.GROUP) if name != "hydra"]


def list_files(group: str) -> list[str]:
    """The choices of a group; none where there is no such group."""
    loader = GlobalHydra.instance().config_loader()
    return list(loader.get_group_options(group, ObjectType.CONFIG))


def list_settings(group: str, choice: str) -> list[str]:
    """Dotted keys that a choice's own file sets, the group's name left out."""
    from kvdistill.config.hydra_internals import get_config_loader

    loaded = get_config_loader().repository.load_config(f"{group}/{choice}")
    content = {} if loaded is None else OmegaConf.to_container(loaded.config, resolve=False)
    return [path for path in walk_settings(content) if path]


def walk_settings(node: Any, prefix: str = "") -> Iterator[str]:
    """Paths of the leaves; a node that names a class counts as one, with what is in it."""
    if not isinstance(node, dict):
        return
    for key, value in node.items():
        if str(key) in PRIVATE:
            continue
        if not isinstance(value, dict):
            yield f"{prefix}{key}"
        yield from walk_settings(value, f"{prefix}{key}.")
