"""Gives a student's or teacher's node the geometry that its own file states, and compares the two.

Once, when a run is planned: identities, plans and jobs then read the geometry from the config, as
if it had been typed.
"""

from collections.abc import Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from kvdistill.config.check_files import MODEL_CONFIG
from kvdistill.config.check_models import check_geometry
from kvdistill.config.types import list_models
from kvdistill.errors import ConfigError
from kvdistill.geometry import Geometry, list_mismatches
from kvdistill.plan import hub
from kvdistill.plan.hub_models import PRETRAINED
from kvdistill.plan.model_files.stated_geometry import derive_head_dim, read_stated_geometry

REQUIRED = tuple(field.name for field in fields(Geometry) if field.default is MISSING)


def states_geometry(node: Mapping[str, Any]) -> bool:
    """Whether the node says all of its shape by itself."""
    return set(REQUIRED) <= set(node.get("geometry") or {})


def complete_geometries(config: Mapping[str, Any], *, online: bool) -> None:
    """Puts whole geometries into the models' nodes, in place.

    Args:
        config: composed and pinned.
        online: whether the hub may be asked for a config.json.

    Raises:
        ConfigError: for a field that the YAML states and the model's file states otherwise, and
            for one that neither states.
    """
    for role, node in list_models(config).items():
        source = node.get("pretrained")
        if isinstance(source, Mapping) and source.get("_target_") == PRETRAINED:
            node["geometry"] = complete_geometry(node, role, online=online)
        else:
            check_geometry(f"{role}.geometry", node.get("geometry"))


def complete_geometry(node: Mapping[str, Any], role: str, *, online: bool) -> dict[str, Any]:
    """The whole geometry of one model whose weights lie in files."""
    typed, whole = dict(node.get("geometry") or {}), states_geometry(node)
    path = find_model_file(node["pretrained"], online=online and not whole)
    stated = {} if path is None else read_stated_geometry(path)
    # What a YAML leaves to its default it states as well: identities have it so.
    compared = {"tied_embeddings": Geometry.tied_embeddings, **typed} if whole else typed
    if mismatches := list_mismatches(compared, stated, f"{role}.geometry"):
        raise ConfigError(
            f"{'; '.join(mismatches)} ({path}). Correct the YAML, leave the geometry out of it, or "
            f"point to the right model."
        )
    if whole:
        return typed
    geometry = derive_head_dim({**stated, **typed})
    # Its default is no guess to make for a model: of the larger ones most have two matrices.
    for field in (*REQUIRED, "tied_embeddings"):
        if field not in geometry:
            place = "no file of it is at hand" if path is None else f"{path} does not state it"
            raise ConfigError(
                f"{role}.geometry.{field} must be given: {place}. Give it, repeat the command with "
                f"stage=fetch where there is a network, or let stage=adopt write the YAML."
            )
    check_geometry(f"{role}.geometry", geometry)
    return geometry


def find_model_file(source: Mapping[str, Any], *, online: bool) -> Path | None:
    """The file that states a model's shape; None where it is not on this machine.

    A config.json of the hub is downloaded where `online` says so; a GGUF file there is the weights.
    """
    name = source.get("gguf_file") or MODEL_CONFIG
    if isinstance(source.get("path"), str):
        return Path(source["path"]) / name
    repo = hub.Repo(str(source["hub"]), "model", str(source.get("revision") or "main"))
    cached = hub.find_cached_file(repo, name)
    if cached is None and online and name == MODEL_CONFIG:
        folder = hub.download_files(repo, [name])
        cached = None if folder is None else folder / name
    return cached if cached is None or cached.is_file() else None
