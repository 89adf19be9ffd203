"""Runs below a root, whichever study they lie in: by name, by identity, finished or not."""

import glob
from collections.abc import Iterator
from pathlib import Path

from kvdistill import layout
from kvdistill.config.compose import Config
from kvdistill.errors import ConfigError
from kvdistill.files import is_complete
from kvdistill.plan.frozen_recipe import read_recipe
from kvdistill.plan.graph import Node

LISTED = 12
"""Finished runs that an error names."""


def find_run_folder(root: Path, study: str, name: str) -> Path:
    """Where a run lies: in whichever study finished it first, else in this one."""
    own = layout.run_folder(root, study, name)
    if is_complete(own):
        return own
    # What another study of this root has finished is not computed again.
    manifest = next(layout.glob_runs(root, name, layout.MANIFEST), None)
    return manifest.parent if manifest is not None else own


def list_finished_runs(root: Path) -> list[Path]:
    """The folders of every finished run of every study."""
    return [folder for folder in layout.glob_runs(root) if is_complete(folder)]


def find_finished_run(root: Path, name: str, setting: str) -> Path:
    """The folder of a finished run, by its name or identity.

    Raises ConfigError, naming the setting that asked, where there is none.
    """
    folders = list_finished_runs(root)
    matches = [f for f in folders if name in (f.name, f.name.rpartition("-")[2])]
    if not matches:
        known = sorted(folder.name for folder in folders)
        raise ConfigError(
            f"{setting}={name} is no finished run below {root}/runs. Finished: "
            f"{', '.join(known[:LISTED]) or 'none'}{' ...' if len(known) > LISTED else ''}."
        )
    return matches[0]


def check_kept_student(folder: Path, setting: str) -> None:
    """Refuses a trained run whose student was deleted, naming the setting that asked for it."""
    if not (folder / layout.MODEL).is_dir():
        raise ConfigError(
            f"{setting}={folder.name}: its student was deleted once it was scored "
            f"(train.keep_model=false). Train it again, in another root, with "
            f"train.keep_model=true."
        )


def read_finished_configs(root: Path) -> Iterator[tuple[Path, Config]]:
    """Folder and frozen config of every finished run."""
    for folder in list_finished_runs(root):
        yield folder, dict(read_recipe(folder).recipe)


def read_planned_config(root: Path, identity: str) -> Config:
    """The frozen config of a planned run. Raises ConfigError where there is none."""
    for path in layout.glob_runs(root, f"*-{glob.escape(identity)}", layout.CONFIG):
        return dict(read_recipe(path.parent).recipe)
    raise ConfigError(f"run={identity} is no run below {root}/runs. stage=status lists them.")


def read_needs(root: Path, node: Node) -> Iterator[Node]:
    """The frozen artefacts that a node needs, each after what it needs itself."""
    for name in node.needs.values():
        need = read_recipe(layout.artifact_folder(root, name))
        yield from read_needs(root, need)
        yield need
