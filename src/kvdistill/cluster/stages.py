"""The stages of launch.py."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from kvdistill.cluster import data, ledger, local
from kvdistill.cluster import status as job_status
from kvdistill.config.compose import Config, compose
from kvdistill.config.schema import typed
from kvdistill.errors import ConfigError, UserError
from kvdistill.files import is_complete, read_json
from kvdistill.plan.expand import Plan, expand
from kvdistill.plan.freeze import freeze, home, write_recipe

Overrides = Sequence[Sequence[str]]
console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)


def run(job_overrides: Overrides, sweeps: Path) -> None:
    """Plans, checks, freezes, does what is missing, and reports."""
    plan = expand(job_overrides, sweeps)
    console.print(planned(plan))
    todo = [item for item in plan.runs.values() if not is_complete(home(plan, item))]
    if todo:
        check([item.config for item in todo])
    folders = freeze(plan)
    names = {need for item in todo for need in item.node.needs.values()}
    nodes = [node for name, node in plan.artifacts.items() if name in names]
    failed = local.run(
        [*nodes, *(item.node for item in todo)], folders, typed("cluster", plan.config["cluster"])
    )
    conclude(plan.config, plan.root / "runs" / plan.study)
    if failed:
        lost = sum(item.node.name in failed for item in todo)
        lines = "; ".join(f"{name}: {why}" for name, why in data.causes(failed).items())
        raise UserError(f"{lost} of {len(todo)} runs failed. {lines}")


def plan(job_overrides: Overrides, sweeps: Path) -> None:
    """Says what a command would do and cost; computes nothing."""
    from kvdistill.cluster.planned import show

    found = expand(job_overrides, sweeps)
    console.print(planned(found))
    show(found, console)


def teachers(job_overrides: Overrides, sweeps: Path) -> None:
    """Builds the stores that the runs would read, and what those need; runs nothing.

    Raises ConfigError where no run reads a store.
    """
    plan = expand(job_overrides, sweeps)
    stores = [node for node in plan.artifacts.values() if node.kind == "kv"]
    if not stores:
        raise ConfigError(
            "stage=teachers builds the teachers' stores, but no run here reads one. "
            "Add source=store."
        )
    check([item.config for item in plan.runs.values()])
    names = {name for node in stores for name in (node.name, *node.needs.values())}
    nodes = [node for name, node in plan.artifacts.items() if name in names]
    folders = {node.name: plan.root / "artifacts" / node.name for node in nodes}
    for node in nodes:
        write_recipe(node, folders[node.name])
    failed = local.run(nodes, folders, typed("cluster", plan.config["cluster"]))
    if failed:
        raise UserError("; ".join(f"{n}: {why}" for n, why in data.causes(failed).items()))
    table = Table("store", "teacher", "texts", "kept tokens", "MB", title="teachers' K and V")
    for node in stores:
        said = read_json(folders[node.name] / "manifest.json")
        name = node.recipe["teachers"]["only"]["name"]
        counts = f"{said['texts']:,}", f"{said['kept_tokens']:,}"
        table.add_row(node.name, name, *counts, f"{said['stored_bytes'] / 1e6:,.1f}")
    console.print(table)


def status(job_overrides: Overrides, _: Path) -> None:
    """Where every run of a study is."""
    config = compose([item for item in job_overrides[0] if not item.startswith("sweep=")])
    study = study_folder(config)
    table = Table("run", "arm", "seed", "state", "", title=f"study {study.name}")
    for identity, entry in read_json(study / "plan.json")["runs"].items():
        said = job_status.read(Path(config["root"]) / entry["folder"])
        detail = said.get("error") or (f"{said['step']}/{said['steps']}" if "step" in said else "")
        table.add_row(identity, entry["arm"], str(entry["seed"]), said["state"], detail)
    console.print(table)


def report(job_overrides: Overrides, _: Path) -> None:
    """Rebuilds a study's report from what lies on disk."""
    config = compose(list(job_overrides[0]))
    conclude(config, study_folder(config))


def study_folder(config: Config) -> Path:
    """runs/STUDY. Raises ConfigError where it does not exist."""
    folder = Path(config["root"]) / "runs" / str(config["study"] or config["scale"])
    if not (folder / "plan.json").is_file():
        known = sorted(path.parent.name for path in folder.parent.glob("*/plan.json"))
        raise ConfigError(
            f"study={folder.name} has no plan in {folder.parent}/. "
            f"Known studies: {', '.join(known) or 'none'}."
        )
    return folder


def conclude(config: Config, study: Path) -> None:
    """Writes the budget and the report; prints the comparison and the report's path."""
    from kvdistill.report.terminal import tables
    from kvdistill.report.write import build

    ledger.write(Path(config["root"]), study)
    index = build([study], study / "report", config["stats"])
    for part in tables(study):
        console.print(part)
    console.print(f"report: {index}", soft_wrap=True)


def planned(plan: Plan) -> Table:
    """The plan as a table: what will be done, what is reused, equal steps."""
    steps = sorted({item.steps for item in plan.runs.values() if item.config["trained"]})
    title = f"study {plan.study}: {len(plan.runs)} runs"
    if steps:
        title += f", {' or '.join(map(str, steps))} unified steps each"
    table = Table("what", "name", "state", title=title)
    for name, node in plan.artifacts.items():
        there = is_complete(plan.root / "artifacts" / name)
        table.add_row(node.kind, name, "reused" if there else "to build")
    for question, asked in plan.questions.items():
        for label, seeds in asked["arms"].items():
            for identity in dict.fromkeys(seeds.values()):
                item = plan.runs[identity]
                state = "done" if is_complete(home(plan, item)) else "to run"
                table.add_row(f"{question}: {label}", item.node.name, state)
    for teacher, identity in plan.references.items():
        item = plan.runs[identity]
        state = "done" if is_complete(home(plan, item)) else "to run"
        table.add_row(f"reference: {teacher}", item.node.name, state)
    return table


def check(configs: Sequence[Config]) -> None:
    """Builds every distinct arm's rooms, those that need torch in one child process.

    Raises ConfigError with the first thing a room refuses.
    """
    for config in configs:
        data.check(config)
    done = subprocess.run(
        [sys.executable, "-m", "kvdistill.train.check"],
        input=json.dumps(configs),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 2:
        raise ConfigError(done.stderr.strip().splitlines()[-1])
    if done.returncode != 0:
        raise UserError(f"the plan's check failed: {done.stderr.strip()[-2000:]}")
