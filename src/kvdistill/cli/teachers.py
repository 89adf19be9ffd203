"""stage=teachers: builds the stores of the teachers' K and V that runs would read; runs nothing."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.table import Table

from kvdistill import layout
from kvdistill.cli.common import JobOverrides, console, describe_failures
from kvdistill.cluster.code_choice import check_node_code
from kvdistill.cluster.preflight import check_arms
from kvdistill.cluster.submit import submit
from kvdistill.errors import ConfigError, UserError
from kvdistill.files import read_sealed
from kvdistill.plan.expand import expand_command
from kvdistill.plan.frozen_recipe import write_recipe
from kvdistill.plan.graph import ONLY, Node
from kvdistill.plan.suite_data import check_suite_data


def teachers_command(job_overrides: JobOverrides, sweeps: Path) -> None:
    """Builds the stores and what those need. Raises ConfigError where no run reads a store."""
    plan = expand_command(job_overrides, sweeps)
    check_suite_data(plan)
    stores = [node for node in plan.artifacts.values() if node.kind == "kv"]
    if not stores:
        raise ConfigError(
            "stage=teachers builds the teachers' stores, but no run here reads one. "
            "Add source=store."
        )
    check_arms([run.config for run in plan.runs.values()])
    names = {name for node in stores for name in (node.name, *node.needs.values())}
    nodes = [node for name, node in plan.artifacts.items() if name in names]
    folders = {node.name: layout.artifact_folder(plan.root, node.name) for node in nodes}
    check_node_code(plan, nodes)
    for node in nodes:
        write_recipe(node, folders[node.name])
    failed = submit(plan, nodes, folders, console, report=False)
    if failed is None:
        return
    if failed:
        raise UserError("; ".join(describe_failures(failed)))
    console.print(tabulate_stores(stores, folders))


def tabulate_stores(stores: Sequence[Node], folders: Mapping[str, Path]) -> Table:
    """A row a store, from its manifest."""
    table = Table("store", "teacher", "texts", "kept tokens", "MB", title="teachers' K and V")
    for node in stores:
        manifest = read_sealed(folders[node.name] / layout.MANIFEST)
        name = node.recipe["teachers"][ONLY]["name"]
        counts = f"{manifest['texts']:,}", f"{manifest['kept_tokens']:,}"
        table.add_row(node.name, name, *counts, f"{manifest['stored_bytes'] / 1e6:,.1f}")
    return table
