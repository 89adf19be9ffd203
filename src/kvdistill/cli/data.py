"""stage=data: builds and checks splits alone, or checks them again as they lie on disk."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from kvdistill import manifest
from kvdistill.cluster import run_module
from kvdistill.cluster.job_failures import NOT_STARTED
from kvdistill.cluster.submit import submit
from kvdistill.console import Screen
from kvdistill.errors import ArtifactError, UserError
from kvdistill.files import is_complete, read_json
from kvdistill.plan.expand import Plan, expand
from kvdistill.plan.freeze import write_recipe
from kvdistill.plan.graph import Node

REPORT = "validation_report.json"
console = Screen()


def run(job_overrides: Sequence[Sequence[str]], sweeps: Path) -> None:
    """Splits and their checks against all that runs are scored on; no run.

    Raises UserError, with one line, for a leak, for data that is no split and, where it only
    checks again, for a file altered since it was built.
    """
    plan = expand(job_overrides, sweeps)
    wanted = [item for item in plan.runs.values() if item.config["trained"]] or plan.runs.values()
    names = {item.node.needs[kind] for item in wanted for kind in ("split", "validation")}
    nodes = [node for name, node in plan.artifacts.items() if name in names]
    folders = {node.name: plan.root / "artifacts" / node.name for node in nodes}
    again = plan.config["data"]["validate_only"]
    faults = recheck(nodes, folders) if again else made(plan, nodes, folders)
    if faults:
        raise UserError("; ".join(faults))


def made(plan: Plan, nodes: Sequence[Node], folders: Mapping[str, Path]) -> list[str]:
    """Builds what is missing and shows the reports; what went wrong, a line each."""
    for node in nodes:
        write_recipe(node, folders[node.name])
    failed = submit(plan, nodes, folders, console, report=False)
    if failed is None:
        return []
    for node in nodes:
        folder = folders[node.name]
        leaked = node.name in failed and (folder / REPORT).is_file()
        if leaked or (node.kind == "validation" and is_complete(folder)):
            console.print(table(node.needs.get("split", node.name), read_json(folder / REPORT)))
            console.print(f"report: {folder / REPORT}", soft_wrap=True)
    return [f"{name}: {why}" for name, why in causes(failed).items()]


def causes(failed: Mapping[str, str]) -> dict[str, str]:
    """Of failed jobs, those that did not fail for want of another."""
    return {name: why for name, why in failed.items() if not why.startswith(NOT_STARTED)}


def recheck(nodes: Sequence[Node], folders: Mapping[str, Path]) -> list[str]:
    """Checks each split again as it is now, builds nothing; what is wrong, a line each."""
    faults = []
    for node in nodes:
        if node.kind != "validation":
            continue
        split = folders[node.needs["split"]]
        if not is_complete(split):
            raise ArtifactError(f"{split} is no finished split. Build it with stage=data.")
        report, said = validated(node.recipe, split)
        if report is not None:
            console.print(table(split.name, report))
        faults += [said] if said else []
        faults += altered(split)
    return faults


def altered(split: Path) -> Iterator[str]:
    """The line that names a file changed since the split was built, if there is one."""
    try:
        manifest.verify(split)
    except ArtifactError as error:
        yield str(error)


def validated(recipe: Mapping[str, Any], split: Path) -> tuple[dict[str, Any] | None, str]:
    """The report, if there is one, and what is wrong; in a child, so that this imports no torch."""
    done = run_module.ask("kvdistill.evaluate.recheck", {"recipe": recipe, "split": str(split)})
    report = json.loads(done.stdout) if done.stdout else None
    return report, done.stderr.strip()[-2000:] if done.returncode else ""


def table(name: str, report: Mapping[str, Any]) -> Table:
    """Every set with what it shares with the sets before it: those nearer to training."""
    columns = ("set", "role", "rows", "exact copies", "near copies", "verdict")
    shown = Table(*columns, title=f"{name}: {report['verdict']}")
    for each, facts in report["sets"].items():
        pairs = [p for p in report["pairs"] if p["second"] == each != p["first"]]
        hits = {
            method: sum(pair["hits"] for pair in pairs if pair["method"] == method)
            for method in ("exact", "ngram")
        }
        verdicts = {pair["verdict"] for pair in pairs}
        worst = next(v for v in ("leak", "reported", "clean") if v in {*verdicts, "clean"})
        shown.add_row(each, facts["role"], str(facts["rows"]), *map(str, hits.values()), worst)
    for task, why in report.get("missing", {}).items():
        shown.add_row(task, "task", "none", "", "", f"not checked: {why}")
    return shown
