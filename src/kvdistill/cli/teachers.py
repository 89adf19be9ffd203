"""stage=teachers: builds what runs would read of teachers, stores and answers; runs nothing."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.table import Table

from kvdistill import layout
from kvdistill.cli.common import JobOverrides, console, describe_failures, print_sources
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
    """Builds stores, answers and what those need. Raises ConfigError where no run reads any."""
    plan = expand_command(job_overrides, sweeps)
    check_suite_data(plan)
    print_sources(plan)
    stores, answers = (
        [node for node in plan.artifacts.values() if node.kind == kind]
        for kind in ("kv", "answers")
    )
    if not stores + answers:
        raise ConfigError(
            "stage=teachers builds the teachers' stores and answers, but no run here reads any. "
            "Add source.read=stored, source=store for fewer bits, or arm=sequence_kd."
        )
    check_arms([run.config for run in plan.runs.values()])
    names = {name for node in stores + answers for name in (node.name, *node.needs.values())}
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
    if stores:
        console.print(tabulate_stores(stores, folders))
    if answers:
        console.print(tabulate_answers(answers, folders))


def tabulate_stores(stores: Sequence[Node], folders: Mapping[str, Path]) -> Table:
    """A row a store, from its manifest."""
    table = Table("store", "teacher", "texts", "kept tokens", "MB", title="teachers' K and V")
    for node in stores:
        manifest = read_sealed(folders[node.name] / layout.MANIFEST)
        name = node.recipe["teachers"][ONLY]["name"]
        counts = f"{manifest['texts']:,}", f"{manifest['kept_tokens']:,}"
        table.add_row(node.name, name, *counts, f"{manifest['stored_bytes'] / 1e6:,.1f}")
    return table


def tabulate_answers(answers: Sequence[Node], folders: Mapping[str, Path]) -> Table:
    """A row an artefact of answers, from its manifest."""
    columns = ("answers", "right", "tokens in the mean", "cut off", "empty")
    table = Table("artefact", "teacher", *columns, title="teachers' own answers")
    for node in answers:
        made = read_sealed(folders[node.name] / layout.MANIFEST)
        shares = f"{made['right_share']:.1%}", f"{made['mean_tokens']:.1f}"
        left_out = f"{made['cut']:,}", f"{made['empty']:,}"
        numbers = (f"{made['answers']:,}", *shares, *left_out)
        table.add_row(node.name, node.recipe["teachers"][ONLY]["name"], *numbers)
    return table
