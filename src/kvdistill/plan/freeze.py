"""The plan on disk: written once, before anything is queued; jobs read only their own folder."""

from pathlib import Path
from typing import Any

from filelock import FileLock

from kvdistill.files import read_json, write_json
from kvdistill.plan.expand import Plan
from kvdistill.plan.find_runs import find_run_folder
from kvdistill.plan.frozen_recipe import write_recipe
from kvdistill.records import SCHEMA_VERSION


def freeze_plan(plan: Plan) -> dict[str, Path]:
    """Writes every recipe and merges plan.json; returns the folder of each node by name.

    A run finished in another study of the same root keeps its folder there. What is already
    written is never rewritten: the same name means the same science.
    """
    folders = map_folders(plan)
    study = plan.root / "runs" / plan.study
    study.mkdir(parents=True, exist_ok=True)
    (plan.root / "artifacts").mkdir(exist_ok=True)
    with FileLock(study / ".plan.lock"):
        for node in plan.artifacts.values():
            write_recipe(node, folders[node.name])
        for run in plan.runs.values():
            write_recipe(run.node, folders[run.node.name])
        write_json(study / "plan.json", merge_plan(plan, study / "plan.json", folders))
    return folders


def map_folders(plan: Plan) -> dict[str, Path]:
    """The folder of each node by name."""
    folders = {name: plan.root / "artifacts" / name for name in plan.artifacts}
    return folders | {
        run.node.name: find_run_folder(plan.root, plan.study, run.node.name)
        for run in plan.runs.values()
    }


def merge_plan(plan: Plan, path: Path, folders: dict[str, Path]) -> dict[str, Any]:
    """The study's plan.json with this plan's questions and runs added."""
    old = read_json(path) if path.exists() else {}
    questions = old.get("questions", {})
    for name, question in plan.questions.items():
        # What is asked and expected stands as it reads now; the manifests hold what it was.
        merged_question = {**question, "arms": questions.get(name, {}).get("arms", {})}
        questions[name] = merged_question
        for label, seeds in question["arms"].items():
            for seed, identity in seeds.items():
                arm = find_free_label(
                    merged_question["arms"], label, seed, identity, plan.details[identity]
                )
                merged_question["arms"].setdefault(arm, {})[seed] = identity
    runs = old.get("runs", {}) | {
        run.identity: {
            "folder": str(folders[run.node.name].relative_to(plan.root)),
            "arm": run.config["arm"],
            "seed": run.config["seed"],
            "recipe": run.recipe,
            "trained": run.config["trained"],
            "steps": run.steps,
        }
        for run in plan.runs.values()
    }
    commands = [*old.get("commands", []), *([plan.command] if plan.command else [])]
    return {
        "schema_version": SCHEMA_VERSION,
        "study": plan.study,
        "commands": list(dict.fromkeys(commands)),
        "questions": questions,
        "references": old.get("references", {}) | plan.references,
        "runs": runs,
    }


def find_free_label(
    arms: dict[str, dict[str, str]], label: str, seed: str, identity: str, detail: str
) -> str:
    """The label, with what sets this run apart where an earlier command used it for another."""
    for candidate in (label, f"{label} ({detail})"):
        if arms.get(candidate, {}).get(seed, identity) == identity:
            return candidate
    return f"{label} ({detail}) {identity}"
