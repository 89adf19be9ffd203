"""stage=data: builds and checks splits alone, or checks them again as they lie on disk."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from kvdistill import layout, manifest
from kvdistill.cli.common import JobOverrides, console, describe_failures
from kvdistill.cluster.code_choice import check_node_code
from kvdistill.cluster.run_module import call_in_new_process
from kvdistill.cluster.submit import submit
from kvdistill.cluster.text_lengths import describe_text_lengths
from kvdistill.data.leakage import UNSEEN
from kvdistill.data.rows.tally import describe_tally
from kvdistill.errors import ArtifactError, UserError
from kvdistill.files import is_complete, read_json
from kvdistill.plan.command_plan import Plan
from kvdistill.plan.expand import expand_command
from kvdistill.plan.frozen_recipe import write_recipe
from kvdistill.plan.graph import Node


def data_command(job_overrides: JobOverrides, sweeps: Path) -> None:
    """Splits and their checks against all that runs are scored on; no run.

    Raises UserError, with one line, for a leak, for data that is no split and, where it only
    checks again, for a file altered since it was built.
    """
    plan = expand_command(job_overrides, sweeps)
    runs = [run for run in plan.runs.values() if run.config["trained"]] or plan.runs.values()
    names = {run.node.needs[kind] for run in runs for kind in ("split", "validation")}
    nodes = [node for name, node in plan.artifacts.items() if name in names]
    folders = {node.name: layout.artifact_folder(plan.root, node.name) for node in nodes}
    if plan.config["data"]["validate_only"]:
        faults = recheck_splits(nodes, folders)
    else:
        faults = build_splits(plan, nodes, folders)
    if faults:
        raise UserError("; ".join(faults))
    for line in describe_text_lengths(plan, runs, call_in_new_process):
        console.print(line, soft_wrap=True)


def build_splits(plan: Plan, nodes: Sequence[Node], folders: Mapping[str, Path]) -> list[str]:
    """Builds what is missing and shows the reports; what went wrong, a line each."""
    check_node_code(plan, nodes)
    for node in nodes:
        write_recipe(node, folders[node.name])
    failed = submit(plan, nodes, folders, console, report=False)
    if failed is None:
        return []
    for node in nodes:
        folder = folders[node.name]
        leaked = node.name in failed and (folder / layout.VALIDATION_REPORT).is_file()
        if leaked or (node.kind == "validation" and is_complete(folder)):
            split = node.needs.get("split", node.name)
            report = read_json(folder / layout.VALIDATION_REPORT)
            console.print(tabulate_leak_report(split, report))
            for line in describe_dropped_rows(report):
                console.print(line, soft_wrap=True, markup=False)
            console.print(f"report: {folder / layout.VALIDATION_REPORT}", soft_wrap=True)
    return describe_failures(failed)


def recheck_splits(nodes: Sequence[Node], folders: Mapping[str, Path]) -> list[str]:
    """Checks each split again as it is now, builds nothing; what is wrong, a line each."""
    faults = []
    for node in nodes:
        if node.kind != "validation":
            continue
        split = folders[node.needs["split"]]
        if not is_complete(split):
            raise ArtifactError(f"{split} is no finished split. Build it with stage=data.")
        # lm-eval and torch are slow to import, so the check runs in a process of its own.
        answer = call_in_new_process(
            "kvdistill.evaluate.leak_check",
            "recheck_split",
            {"recipe": node.recipe, "split": str(split)},
        )
        if answer["report"] is not None:
            console.print(tabulate_leak_report(split.name, answer["report"]))
        faults += [answer["fault"]] if answer["fault"] else []
        faults += name_altered_file(split)
    return faults


def name_altered_file(split: Path) -> Iterator[str]:
    """The line that names a file changed since the split was built, if there is one."""
    try:
        manifest.verify_artifact(split)
    except ArtifactError as error:
        yield str(error)


def describe_dropped_rows(report: Mapping[str, Any]) -> Iterator[str]:
    """A line a file or part that was read, and one of the records that a split leaves out.

    None of a report that refuses the data: it says nothing of rows.
    """
    for name, facts in report.get("read", {}).items():
        yield describe_tally(name, facts)
    if "read" in report:  # the report of a split that older code built has neither
        dropped, conflicts = report["dropped"], report["dropped"]["conflicts"]
        near = sum(dropped["near_copies"].values())
        kept = "the first of each kept" if conflicts["rule"] == "first" else "none of them kept"
        yield (
            f"dropped: {dropped['duplicates']} duplicates, {near} near copies; "
            f"{conflicts['questions']} questions came twice with answers that differ "
            f"({conflicts['records']} records, {kept}: data.split.conflicts={conflicts['rule']})"
        )


def tabulate_leak_report(name: str, report: Mapping[str, Any]) -> Table:
    """Every set with what it shares with the sets before it: those nearer to training."""
    columns = (
        "set", "role", "rows", "exact copies", "near copies", "other numbers alone", "verdict",
    )  # fmt: skip
    table = Table(*columns, title=f"{name}: {report['verdict']}")
    for each, facts in report["sets"].items():
        pairs = [p for p in report["pairs"] if p["second"] == each != p["first"]]
        hits = {
            method: sum(pair["hits"] for pair in pairs if pair["method"] == method)
            for method in ("exact", "ngram", "template")
        }
        verdicts = {pair["verdict"] for pair in pairs}
        worst = next(v for v in ("leak", "reported", "clean") if v in {*verdicts, "clean"})
        table.add_row(each, facts["role"], str(facts["rows"]), *map(str, hits.values()), worst)
    table.caption = f"not seen by any method: {', '.join(UNSEEN)}"
    for task, why in report.get("missing", {}).items():
        table.add_row(task, "task", "none", "", "", "", f"not checked: {why}")
    return table
