"""stage=why: which fields of its science make a run new, against the nearest finished one."""

from pathlib import Path
from typing import Any

from rich.table import Table

from kvdistill.cli.common import JobOverrides, compose_study_config, console
from kvdistill.cluster.code_changes import read_made_code
from kvdistill.config.compose import Config
from kvdistill.plan.code.fingerprint import UNKNOWN_CODE, fingerprint_node, name_changes
from kvdistill.plan.expand import expand_command
from kvdistill.plan.find_runs import read_finished_configs, read_planned_config
from kvdistill.plan.frozen_recipe import read_recipe
from kvdistill.plan.identity import run_identity, science_of
from kvdistill.plan.labels.recipe_difference import flatten_config, list_differing_paths

NOTHING = "-"


def why_command(job_overrides: JobOverrides, sweeps: Path) -> None:
    """Explains the run named by `run=ID`, or else the first that the command describes."""
    config = compose_study_config(job_overrides)
    root, name = Path(config["root"]), config["run"]
    if name is not None:
        explain_run(root, read_planned_config(root, str(name)), str(name))
        return
    run = next(iter(expand_command(job_overrides, sweeps).runs.values()))
    explain_run(root, run.config, run.identity)


def explain_run(root: Path, config: Config, name: str) -> None:
    """Prints the fields in which the config differs from the nearest finished run under root."""
    science_fields = flatten_config(science_of(config))
    nearest: tuple[int, str, dict[str, Any]] | None = None
    for folder, recipe in read_finished_configs(root):
        if run_identity(recipe) == run_identity(config):
            console.print(f"{name} is no new run: {folder} is finished.", soft_wrap=True)
            console.print(explain_code(folder), soft_wrap=True)
            return
        other = flatten_config(science_of(recipe))
        distance = len(list_differing_paths(science_fields, other))
        if nearest is None or distance < nearest[0]:
            nearest = distance, str(folder), other
    if nearest is None:
        console.print(f"{name} is new: no run is finished below {root}/runs.", soft_wrap=True)
        return
    _, folder_name, other = nearest
    table = Table("field", "this run", "the nearest")
    for key in list_differing_paths(science_fields, other):
        pair = (str(side.get(key, NOTHING)) for side in (science_fields, other))
        table.add_row(key, *pair)
    console.print(f"{name} is new; the nearest finished run is {folder_name}", soft_wrap=True)
    console.print(table)
    console.print(explain_code(Path(folder_name)), soft_wrap=True)


def explain_code(folder: Path) -> str:
    """Whether the code as it is now would make a finished run as it was made."""
    made = read_made_code(folder)
    if made is None:
        return f"Which code made {folder.name} cannot be read off its manifest."
    if made.code is None:
        return f"{folder.name} was {UNKNOWN_CODE}: nothing says which."
    changes = made.code.find_changes(fingerprint_node(read_recipe(folder)), same_recipe=True)
    if not changes:
        return f"The code that made {folder.name} is the code as it is now."
    return (
        f"{folder.name} was made by other code: {name_changes(changes)} changed since. "
        f"code=rerun makes it anew, code=accept goes on with it."
    )
