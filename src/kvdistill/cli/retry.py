"""stage=retry: does again what failed of a study, as it was frozen."""

from collections.abc import Sequence
from pathlib import Path

from kvdistill.cli.common import (
    JobOverrides,
    compose_study_config,
    console,
    describe_failures,
    find_study_folder,
)
from kvdistill.cli.run import finish_plan
from kvdistill.cluster import run_states
from kvdistill.cluster.code_choice import check_plan_code, describe_choice, settle_changes
from kvdistill.cluster.submit import submit
from kvdistill.config import trust
from kvdistill.config.compose import Config
from kvdistill.errors import UserError
from kvdistill.plan.command_plan import Plan, PlannedRun
from kvdistill.plan.find_runs import read_needs
from kvdistill.plan.freeze import freeze_plan
from kvdistill.plan.frozen_recipe import read_recipe
from kvdistill.plan.graph import TRIAL, Node
from kvdistill.plan.study_plan import StudyPlan

BROKEN = ("failed", "lost", "silent", "stopped")
"""States of a run that is to be done again."""


def retry_command(job_overrides: JobOverrides, _: Path) -> None:
    """Does the failed runs, or trials, and the artefacts they lack.

    Raises UserError where none failed.
    """
    config = compose_study_config(job_overrides)
    plan = plan_failed_runs(Path(config["root"]), find_study_folder(config), config)
    changes = check_plan_code(plan)
    runs = [run.node for run in plan.runs.values()]
    for line in describe_choice(plan, changes):
        console.print(line, soft_wrap=True)
    console.print(f"trying again: {', '.join(node.name for node in runs)}", soft_wrap=True)
    settle_changes(plan, changes)
    names = {need for node in runs for need in node.needs.values()}
    nodes = [*(node for name, node in plan.artifacts.items() if name in names), *runs]
    if any(node.kind == TRIAL for node in runs):
        # Nothing is confirmed before a winner is chosen, so these are all that failed.
        finish_trials(plan, nodes)
    else:
        finish_plan(plan, nodes)


def finish_trials(plan: Plan, nodes: Sequence[Node]) -> None:
    """Does these trials. Raises UserError where any failed again.

    What wins is chosen by the sweep's own command, which knows all trials.
    """
    failed = submit(plan, nodes, freeze_plan(plan), console, report=False)
    if failed:
        raise UserError(f"trials failed again: {'; '.join(describe_failures(failed))}")
    console.print("repeat the sweep's command, which chooses the winners and goes on")


def plan_failed_runs(root: Path, study: Path, config: Config) -> Plan:
    """The runs of a study that failed, as they were frozen, and the artefacts they need.

    What an arm asks of SLURM beyond the cluster's settings is not frozen; repeat the sweep's own
    command where that matters.
    """
    plan = Plan(root, study.name, config=config)
    known = StudyPlan.read(study)
    entries = known.runs | known.trials
    for line in run_states.read_run_states(root, study):
        if line.state not in BROKEN:
            continue
        entry = entries[line.run]
        node = read_recipe(root / entry.folder)
        needs = list(read_needs(root, node))
        for frozen in (node, *needs):
            # The folder may have come from elsewhere: what it may run is asked again.
            trust.check_trusted_node(frozen.name, frozen.recipe, config["trust"])
        plan.artifacts |= {need.name: need for need in needs}
        plan.runs[line.run] = PlannedRun(node, dict(node.recipe), entry.recipe, entry.steps)
    if not plan.runs:
        raise UserError(f"study={study.name} has no failed run. stage=status shows all.")
    return plan
