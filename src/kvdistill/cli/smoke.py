"""stage=smoke: a few steps of every arm at its true shapes, one kill and resume, and go or no go.

What one runs before a study is queued. Everything lies in ROOT/smoke/STUDY, which each smoke begins
anew: no run of it is a result, no claim reads it, and the root's record has nothing of it.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from kvdistill import layout
from kvdistill.cli.common import JobOverrides, console, print_sources
from kvdistill.cluster.preflight import check_arms
from kvdistill.cluster.submit import submit
from kvdistill.config.schema import SmokeSettings, read_group
from kvdistill.errors import ConfigError, UserError
from kvdistill.files import read_json
from kvdistill.plan.command_plan import Plan, PlannedRun
from kvdistill.plan.expand import expand_command
from kvdistill.plan.freeze import freeze_plan
from kvdistill.plan.frozen_recipe import write_recipe
from kvdistill.plan.graph import Node
from kvdistill.plan.resources.division import check_memory
from kvdistill.plan.resources.foretold import foretell_training
from kvdistill.plan.study_plan import Question, walk_arms
from kvdistill.smoke.judge import list_faults, list_resume_faults, read_run
from kvdistill.smoke.shrink import RANDOM, shrink_config
from kvdistill.smoke.table import SmokeArm, tabulate_smoke

QUESTION = "smoke"
KILL_SHARE = 0.75
"""Of the steps after which a run is killed: its checkpoint is from the half of them."""


@dataclass(frozen=True)
class SmokePlan:
    """The runs of a smoke job and what they stand for."""

    plan: Plan
    arms: Mapping[str, PlannedRun]
    """Label -> its smoke run; arms that differ in nothing that a few steps show share one."""
    planned_steps: Mapping[str, int]
    """Label -> steps of the run that the command would start."""

    def choose_resumed(self) -> str:
        """The label of the arm that is killed: one with the most teachers."""
        return max(self.arms, key=lambda label: len(self.arms[label].config["teachers"]))


def smoke_command(job_overrides: JobOverrides, sweeps: Path) -> None:
    """Says go, or raises UserError with the reasons for no go."""
    plan = expand_command(job_overrides, sweeps)
    settings: SmokeSettings = read_group("smoke", plan.config["smoke"])
    check_request(plan, settings)
    print_sources(plan)
    smoke = plan_smoke(plan, settings)
    configs = [run.config for run in smoke.arms.values()]
    estimate = read_group("estimate", plan.config["estimate"])
    check_memory(configs, estimate)
    check_arms(configs)
    shutil.rmtree(smoke.plan.root, ignore_errors=True)
    folders = dict(freeze_plan(smoke.plan))
    label = smoke.choose_resumed()
    killed = plan_killed_run(smoke.arms[label].node, settings.steps)
    folders[killed.name] = layout.run_folder(smoke.plan.root, smoke.plan.study, killed.name)
    write_recipe(killed, folders[killed.name])
    console.print(
        f"smoke: {settings.steps} steps of {len(smoke.arms)} arms with {settings.weights} weights "
        f"in {smoke.plan.root}; {label} once more, killed and resumed",
        soft_wrap=True,
    )
    nodes = [*smoke.plan.artifacts.values(), *(run.node for run in smoke.arms.values())]
    failed = submit_and_wait(smoke.plan, [*nodes, killed], folders)
    killed_at = read_killed_step(folders[killed.name])
    if killed_at is not None:
        failed.pop(killed.name, None)
        failed |= submit_and_wait(smoke.plan, [*smoke.plan.artifacts.values(), killed], folders)
    arms = {
        name: SmokeArm(
            read_run(name, folders[run.node.name], failed.get(run.node.name, "")),
            foretell_training(run.config), smoke.planned_steps[name],
        )
        for name, run in smoke.arms.items()
    }  # fmt: skip
    console.print(tabulate_smoke(list(arms.values())))
    faults = [
        fault
        for arm in arms.values()
        for fault in list_faults(arm.run, arm.foretold, estimate.usable_bytes, settings)
    ]
    resumed = read_run(label, folders[killed.name], failed.get(killed.name, ""))
    faults += list_resume_faults(arms[label].run, resumed, killed_at, settings)
    if faults:
        raise UserError(f"no go: {'; '.join(faults)}. The runs lie in {smoke.plan.root}")
    console.print(
        f"go: {len(arms)} arms trained and were scored, and a run that was killed after step "
        f"{killed_at} ended as the one that was not",
        soft_wrap=True,
    )


def check_request(plan: Plan, settings: SmokeSettings) -> None:
    """Raises ConfigError where nothing would be trained, or what is real has no commit."""
    if not any(run.config["trained"] for run in plan.runs.values()):
        raise ConfigError("stage=smoke takes steps of what a command trains, but nothing is here.")
    if plan.config["cluster"].get("dry_run"):
        raise ConfigError("stage=smoke computes, but cluster.dry_run=true. Drop one of them.")
    if settings.weights != RANDOM and plan.unresolved:
        why = next(iter(plan.unresolved.values()))
        raise ConfigError(
            f"smoke.weights={settings.weights} reads {', '.join(plan.unresolved)}, which have no "
            f"commit ({why}). Use smoke.weights=random, which needs no download."
        )


def plan_smoke(plan: Plan, settings: SmokeSettings) -> SmokePlan:
    """The smoke runs of a plan's trained arms, one an arm whatever its seeds; writes nothing."""
    root = layout.smoke_folder(plan.root, plan.study)
    smoke: Plan | None = None
    arms: dict[str, PlannedRun] = {}
    steps: dict[str, int] = {}
    recipes: set[str] = set()
    for _, label, identity in walk_arms(plan.questions):
        run = plan.runs[identity]
        if not run.config["trained"] or run.recipe in recipes:
            continue
        recipes.add(run.recipe)
        config = shrink_config(run.config, settings)
        if smoke is None:
            smoke = Plan(root, plan.study, config=config)
            smoke.questions[QUESTION] = Question("Does every arm run at its true shapes?")
        small = smoke.add(config, run.resources)
        if small.identity in {each.identity for each in arms.values()}:
            continue
        name = smoke.place_run(QUESTION, label, config["seed"], small, automatic=True)
        arms[name], steps[name] = small, run.steps
    assert smoke is not None
    return SmokePlan(smoke, arms, steps)


def plan_killed_run(node: Node, steps: int) -> Node:
    """The same run under another name, whose process kills itself on the way."""
    recipe = {**node.recipe, "kill_at_step": round(KILL_SHARE * steps)}
    return replace(node, name=f"{node.name}-killed", recipe=recipe)


def submit_and_wait(plan: Plan, nodes: list[Node], folders: Mapping[str, Path]) -> dict[str, str]:
    """Does the jobs; the failed ones with their reason."""
    failed = submit(plan, nodes, folders, console, report=False)
    assert failed is not None, "a smoke job waits for what it submits"
    return failed


def read_killed_step(folder: Path) -> int | None:
    """The step after which the run was killed; None where it was not."""
    marker = folder / layout.KILLED
    return int(read_json(marker)["step"]) if marker.is_file() else None
