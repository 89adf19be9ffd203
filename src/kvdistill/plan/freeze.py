"""The plan on disk: written once, before anything is queued; jobs read only their own folder."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock

from kvdistill import layout
from kvdistill.errors import ArtifactError
from kvdistill.files import is_complete
from kvdistill.plan.command_plan import Plan
from kvdistill.plan.find_runs import find_run_folder
from kvdistill.plan.frozen_recipe import is_begun, read_recipe, write_recipe
from kvdistill.plan.graph import TRIAL
from kvdistill.plan.labels.arm_labels import ArmLabels, read_known_plan
from kvdistill.plan.labels.recipe_difference import compare_leaves, describe_differences
from kvdistill.plan.labels.withdrawal import record_withdrawal, withdraw_failures
from kvdistill.plan.resources.foretold import foretell_training
from kvdistill.plan.study_plan import Question, RunEntry, StudyPlan
from kvdistill.plan.tuning.merge import merge_tunings

EXECUTED = ("data", "student", "teachers", "source", "budget", "train", "adapter", "tasks")
"""Of a run's config, what says how it is done beside what is done; the rest names and arranges."""


def freeze_plan(plan: Plan) -> dict[str, Path]:
    """Writes every recipe and merges plan.json; returns the folder of each node by name.

    A run finished in another study of the same root keeps its folder there. What is already
    written is never rewritten: the same name means the same science.
    """
    folders = map_folders(plan)
    study = layout.study_folder(plan.root, plan.study)
    study.mkdir(parents=True, exist_ok=True)
    layout.artifacts_folder(plan.root).mkdir(exist_ok=True)
    # Two commands of one study would each read the old plan and write their own half.
    with FileLock(study / layout.PLAN_LOCK):
        known_withdrawals = len(read_known_plan(plan.root, plan.study).withdrawn)
        merged = merge_plan(plan, folders)  # first: it may refuse
        for node in plan.artifacts.values():
            write_recipe(node, folders[node.name])
        for run in plan.runs.values():
            write_recipe(run.node, folders[run.node.name])
        for entry in merged.withdrawn[known_withdrawals:]:
            record_withdrawal(plan.root, plan.study, entry)
        merged.write(study)
    return folders


def map_folders(plan: Plan) -> dict[str, Path]:
    """The folder of each node by name."""
    folders = {name: layout.artifact_folder(plan.root, name) for name in plan.artifacts}
    return folders | {
        run.node.name: find_planned_folder(plan, run.node.name) for run in plan.runs.values()
    }


def find_planned_folder(plan: Plan, name: str) -> Path:
    """Where a run of the plan lies: one that is made anew lies in this study, whoever has it."""
    if name in plan.remade:
        return layout.run_folder(plan.root, plan.study, name)
    return find_run_folder(plan.root, plan.study, name)


def is_missing(plan: Plan, name: str) -> bool:
    """Whether a run of the plan is to be done: nobody has finished it, or other code did."""
    return name in plan.remade or not is_complete(find_planned_folder(plan, name))


def describe_kept_settings(plan: Plan) -> Iterator[str]:
    """A sentence for each set of settings that runs do not take from this command.

    They have begun and go on as they were frozen, so another way of doing the same is not theirs.
    """
    kept: Counter[str] = Counter()
    for run in plan.runs.values():
        folder = find_planned_folder(plan, run.node.name)
        if run.node.name in plan.remade or is_complete(folder) or not is_begun(folder):
            continue
        try:
            frozen = read_recipe(folder).recipe
        except ArtifactError:
            continue  # its job says so, and the other runs need not wait for that
        sides = ({key: side.get(key) for key in EXECUTED} for side in (frozen, run.node.recipe))
        if differences := compare_leaves(*sides):
            kept[describe_differences(differences)] += 1
    for difference, count in kept.items():
        runs = "1 run" if count == 1 else f"{count} runs"
        yield (
            f"{runs} begun before will end as frozen: {difference}. Where that matters, delete "
            f"the folder: a run begins anew then."
        )


def merge_plan(plan: Plan, folders: dict[str, Path]) -> StudyPlan:
    """The study's plan.json, if there is one, with this plan's questions and runs added.

    Raises ConfigError where another command has put another recipe under a label since this plan
    was made.
    """
    merged = read_known_plan(plan.root, plan.study)
    labels = ArmLabels(plan.root, merged)
    for name, question in plan.questions.items():
        old = merged.questions.get(name)
        arms = old.arms if old is not None else {}
        # What is asked and expected stands as it reads now; the manifests hold what it was.
        merged.questions[name] = Question(
            question.text, question.judging, arms,
            {**(old.declared if old else {}), **question.declared},
            {**(old.matched if old else {}), **question.matched},
        )  # fmt: skip
        for label, seeds in question.arms.items():
            for seed, identity in seeds.items():
                run = plan.runs[identity]
                replaced = len(labels.replaced)
                labels.hold_label(name, label, run.recipe, identity, run.config)
                if len(labels.replaced) > replaced:
                    withdraw_failures(merged, plan.root, name, label)
                arms.setdefault(label, {})[seed] = identity
    # Replicates are alike, and hundreds of them would be reckoned one by one. What a frozen run was
    # to take stands in its entry: its recipe has no settings of the estimate.
    trained = {
        run.recipe: run.config
        for run in plan.runs.values()
        if run.config["trained"] and "estimate" in run.config
    }
    foretold_by_recipe = {
        recipe: foretell_training(config).to_json() for recipe, config in trained.items()
    }
    known = {i: entry.foretold for i, entry in (merged.runs | merged.trials).items()}
    entries = {
        run.node.name: RunEntry(
            folder=str(folders[run.node.name].relative_to(plan.root)),
            arm=run.config["arm"],
            seed=run.config["seed"],
            recipe=run.recipe,
            trained=run.config["trained"],
            steps=run.steps,
            code=plan.code[run.node.name].fingerprint if run.node.name in plan.code else "",
            foretold=foretold_by_recipe.get(run.recipe) or known.get(run.identity, {}),
        )
        for run in plan.runs.values()
    }
    for run in plan.runs.values():
        kept = merged.trials if run.node.kind == TRIAL else merged.runs
        kept[run.identity] = entries[run.node.name]
    merged.tunings = merge_tunings(merged.tunings, plan.tunings)
    merged.accepted_code += plan.accepted_code
    commands = [*merged.commands, *([plan.command] if plan.command else [])]
    merged.commands = list(dict.fromkeys(commands))
    merged.references |= plan.references
    return merged
