"""stage=run, the default: plans, checks, freezes, submits what is missing, and reports."""

import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from kvdistill import layout
from kvdistill.cli.common import (
    JobOverrides,
    console,
    describe_failures,
    print_dry_run,
    print_sources,
)
from kvdistill.cli.plan_table import tabulate_plan
from kvdistill.cli.tune import tune_arms
from kvdistill.cluster.code_choice import check_plan_code, describe_choice, settle_changes
from kvdistill.cluster.preflight import check_arms
from kvdistill.cluster.run_module import call_in_new_process, call_in_server_process
from kvdistill.cluster.submit import submit
from kvdistill.cluster.text_lengths import describe_text_lengths
from kvdistill.config.schema import read_group
from kvdistill.errors import UserError
from kvdistill.plan.command_line import retype_command
from kvdistill.plan.command_plan import Plan
from kvdistill.plan.expand import expand_command
from kvdistill.plan.freeze import describe_kept_settings, freeze_plan, is_missing
from kvdistill.plan.graph import Node
from kvdistill.plan.resources.division import check_memory
from kvdistill.plan.resources.placement import describe_placements
from kvdistill.plan.suite_data import check_suite_data
from kvdistill.stats import preregistration
from kvdistill.stats.audit.record_events import record_plan
from kvdistill.stats.claims.names import check_claim_names

REPORT = "kvdistill.report.study_report"


def run_command(job_overrides: JobOverrides, sweeps: Path) -> None:
    """The runs that a command describes, each unless it is finished, and their report.

    Arms that a sweep tunes are tuned first. Raises UserError, after the report, where a run failed.
    """
    if tune_arms(job_overrides, sweeps):
        execute_plan(expand_command(job_overrides, sweeps))


def execute_plan(plan: Plan) -> None:
    """Checks and freezes a plan, does what is missing of it, and reports."""
    plan.command = retype_command(sys.argv)
    # A claim that cannot be judged is refused before anything is written.
    preregistration.list_claims_by_run(plan)
    check_claim_names(plan)
    check_suite_data(plan)
    print_sources(plan)
    changes = check_plan_code(plan)
    console.print(tabulate_plan(plan))
    for line in (*describe_choice(plan, changes), *describe_kept_settings(plan)):
        console.print(line, soft_wrap=True)
    missing = [run for run in plan.runs.values() if is_missing(plan, run.node.name)]
    if missing:
        trained = [run.config for run in missing if run.config["trained"]]
        check_memory(trained, read_group("estimate", plan.config["estimate"]))
        for placement in describe_placements(trained):
            console.print(placement, soft_wrap=True)
        check_arms([run.config for run in missing])
        local = plan.config["cluster"]["name"] == "local"
        call = call_in_server_process if local else call_in_new_process
        for sentence in describe_text_lengths(plan, missing, call):
            console.print(sentence, soft_wrap=True)
    names = {need for run in missing for need in run.node.needs.values()}
    nodes = [node for name, node in plan.artifacts.items() if name in names]
    nodes += [run.node for run in missing]
    if plan.config["cluster"].get("dry_run"):
        print_dry_run(plan, nodes)
        return
    settle_changes(plan, changes)
    finish_plan(plan, nodes)


def finish_plan(plan: Plan, nodes: Sequence[Node]) -> None:
    """Does these jobs of the plan, then reports.

    Raises UserError, after the report, if any failed or a finished run cannot be read.
    """
    # Before the freeze: the record says whether the study is older than it.
    record_plan(plan)
    folders = freeze_plan(plan)
    preregistration.register_claims(plan, folders)
    # Registered before: once a job starts, a claim would no longer be from before training.
    failed = submit(plan, nodes, folders, console, report=True)
    if failed is None:
        return
    problems = []
    if failed:
        runs = [node for node in nodes if node.kind == "run"]
        lost = sum(node.name in failed for node in runs)
        problems.append(
            f"{lost} of {len(runs)} runs failed. {'; '.join(describe_failures(failed))}"
        )
    if fault := report_plan(plan, by_server=bool(nodes)):
        problems.append(fault)
    if problems:
        raise UserError(" ".join(problems))


def report_plan(plan: Plan, *, by_server: bool) -> str:
    """Writes and prints the report of the plan's study; what of it cannot be read, in one line.

    `by_server`: by the code that did the jobs, which an edit since then has not changed.
    """
    study = layout.study_folder(plan.root, plan.study)
    request = {
        "root": str(plan.root), "study": str(study), "stats": plan.config["stats"],
        "width": console.width, "terminal": console.is_terminal,
    }  # fmt: skip
    if by_server and plan.config["cluster"]["name"] == "local":
        answer = call_in_server_process(REPORT, "make_study_report", request)
    else:
        # pandas and matplotlib are slow to import, and a submission to a cluster needs neither.
        answer = import_module(REPORT).make_study_report(request)
    console.file.write(answer["printed"])
    console.file.flush()
    return str(answer["fault"])
