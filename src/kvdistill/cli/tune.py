"""stage=tune: trains a sweep's trials, equally many of each arm, and freezes which of them win."""

import sys
from collections.abc import Mapping
from pathlib import Path

from kvdistill.cli.common import (
    JobOverrides,
    console,
    describe_failures,
    print_dry_run,
    print_sources,
)
from kvdistill.cli.plan_table import tabulate_trials, tabulate_winners
from kvdistill.cluster.code_choice import check_plan_code, describe_choice, settle_changes
from kvdistill.cluster.preflight import check_arms
from kvdistill.cluster.submit import submit
from kvdistill.config.schema import read_group
from kvdistill.errors import ConfigError, UserError
from kvdistill.plan.command_line import retype_command
from kvdistill.plan.command_plan import Plan
from kvdistill.plan.freeze import freeze_plan, is_missing
from kvdistill.plan.graph import Node
from kvdistill.plan.resources.division import check_memory
from kvdistill.plan.trials.expand_trials import expand_trials
from kvdistill.plan.trials.freeze_choice import freeze_choices
from kvdistill.stats.audit.record_events import record_tuning


def tune_command(job_overrides: JobOverrides, sweeps: Path) -> None:
    """The trials that a command's sweeps ask for, and their choice; confirms nothing.

    Raises ConfigError where no sweep of it says how its arms are tuned.
    """
    plan = expand_trials(job_overrides, sweeps)
    if plan is None:
        raise ConfigError(
            "stage=tune: no sweep of this command has the key `tune`, so there is nothing to tune. "
            "Name one that has, or write it into its file."
        )
    execute_trials(plan)


def tune_arms(job_overrides: JobOverrides, sweeps: Path) -> bool:
    """Has a command's trials done and their winners frozen, if its sweeps ask for any.

    Returns:
        Whether the arms can be confirmed now; not while trials wait in a queue.
    """
    plan = expand_trials(job_overrides, sweeps)
    return plan is None or execute_trials(plan)


def execute_trials(plan: Plan) -> bool:
    """Checks and freezes a plan of trials, does what is missing, and freezes the choice.

    Returns:
        Whether the choice is made. Raises UserError where a trial failed.
    """
    plan.command = retype_command(sys.argv)
    print_sources(plan)
    changes = check_plan_code(plan)
    console.print(tabulate_trials(plan))
    for line in describe_choice(plan, changes):
        console.print(line, soft_wrap=True)
    nodes = check_missing_trials(plan)
    if plan.config["cluster"].get("dry_run"):
        print_dry_run(plan, nodes)
        return False
    settle_changes(plan, changes)
    # Before anything is trained: what is tried is on record whatever becomes of it.
    record_tuning(plan)
    folders = freeze_plan(plan)
    failed = submit(plan, nodes, folders, console, report=False) if nodes else {}
    if failed is None:
        console.print(
            "these are trials: once they have ended, repeat the command, which chooses the winners "
            "and goes on",
            soft_wrap=True,
        )
        return False
    if failed:
        raise UserError(describe_failed_trials(plan, failed))
    console.print(tabulate_winners(freeze_choices(plan.root, plan.study, plan.tunings)))
    return True


def check_missing_trials(plan: Plan) -> list[Node]:
    """The artefacts and trials that are to be done, once their parts are known to build."""
    missing = [run for run in plan.runs.values() if is_missing(plan, run.node.name)]
    if missing:
        configs = [run.config for run in missing]
        check_memory(configs, read_group("estimate", plan.config["estimate"]))
        check_arms(configs)
    names = {need for run in missing for need in run.node.needs.values()}
    needed = [node for name, node in plan.artifacts.items() if name in names]
    return [*needed, *(run.node for run in missing)]


def describe_failed_trials(plan: Plan, failed: Mapping[str, str]) -> str:
    """Why nothing was chosen, and the way out."""
    lost = sum(run.node.name in failed for run in plan.runs.values())
    return (
        f"{lost} of {len(plan.runs)} trials failed, so no winner is chosen: "
        f"{'; '.join(describe_failures(failed))}. Mend the cause and repeat the command; finished "
        f"trials stay."
    )
