"""The plan on disk: written once, before anything is queued; jobs read only their own folder."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock

from kvdistill.errors import ArtifactError
from kvdistill.files import is_complete, read_json, write_json, write_text
from kvdistill.plan.expand import Plan, Run
from kvdistill.plan.graph import Node
from kvdistill.records import SCHEMA_VERSION


def freeze(plan: Plan) -> dict[str, Path]:
    """Writes every recipe and merges plan.json; returns the folder of each node by name.

    A run finished in another study of the same root keeps its folder there. What is already
    written is never rewritten: the same name means the same science.
    """
    folders = places(plan)
    study = plan.root / "runs" / plan.study
    study.mkdir(parents=True, exist_ok=True)
    (plan.root / "artifacts").mkdir(exist_ok=True)
    with FileLock(study / ".plan.lock"):
        for node in plan.artifacts.values():
            write_recipe(node, folders[node.name])
        for run in plan.runs.values():
            write_recipe(run.node, folders[run.node.name])
        write_json(study / "plan.json", merged(plan, study / "plan.json", folders))
    return folders


def places(plan: Plan) -> dict[str, Path]:
    """The folder of each node by name."""
    folders = {name: plan.root / "artifacts" / name for name in plan.artifacts}
    return folders | {run.node.name: home(plan, run) for run in plan.runs.values()}


def home(plan: Plan, run: Run) -> Path:
    """Where the run lies: in whichever study finished it first, else in this one."""
    here = plan.root / "runs" / plan.study / "runs" / run.node.name
    if is_complete(here):
        return here
    elsewhere = sorted(plan.root.glob(f"runs/*/runs/{run.node.name}/manifest.json"))
    return elsewhere[0].parent if elsewhere else here


def write_recipe(node: Node, folder: Path) -> None:
    """config.yaml: what the node's job reads. Frozen once written, unless the job failed.

    The same name means the same science; how a failed job was executed may be why it failed.
    """
    path, said = folder / "config.yaml", folder / "status.json"
    failed = said.is_file() and read_json(said)["state"] == "failed" and not is_complete(folder)
    if failed or not path.exists():
        frozen = {"kind": node.kind, "needs": dict(node.needs), "recipe": dict(node.recipe)}
        write_text(path, sealed(frozen))


def sealed(frozen: Mapping[str, Any]) -> str:
    """The text of a config.yaml; its last line is a hash of the others."""
    text = yaml.safe_dump(dict(frozen), sort_keys=False, allow_unicode=True)
    return f"{text}seal: {hashlib.sha256(text.encode()).hexdigest()}\n"


def thaw(folder: Path) -> Node:
    """The node that was frozen in a folder. Raises ArtifactError unless it is as written."""
    path = folder / "config.yaml"
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise ArtifactError(f"{path} is missing. Repeat the command that makes it.") from error
    text, _, seal = content.rpartition(b"seal: ")
    if seal.decode(errors="replace") != hashlib.sha256(text).hexdigest() + "\n":
        raise ArtifactError(
            f"{path} is altered since it was written. Delete {path} and repeat the command."
        )
    frozen = yaml.safe_load(text)
    return Node(frozen["kind"], folder.name, frozen["recipe"], frozen["needs"])


def merged(plan: Plan, path: Path, folders: dict[str, Path]) -> dict[str, Any]:
    """The study's plan.json with this plan's questions and runs added."""
    old = read_json(path) if path.exists() else {}
    questions = old.get("questions", {})
    for name, asked in plan.questions.items():
        # What is asked and expected stands as it reads now; the manifests hold what it was.
        kept = {**asked, "arms": questions.get(name, {}).get("arms", {})}
        questions[name] = kept
        for label, seeds in asked["arms"].items():
            for seed, identity in seeds.items():
                arm = free_label(kept["arms"], label, seed, identity, plan.details[identity])
                kept["arms"].setdefault(arm, {})[seed] = identity
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


def free_label(
    arms: dict[str, dict[str, str]], label: str, seed: str, identity: str, detail: str
) -> str:
    """The label, with what sets this run apart where an earlier command used it for another."""
    for candidate in (label, f"{label} ({detail})"):
        if arms.get(candidate, {}).get(seed, identity) == identity:
            return candidate
    return f"{label} ({detail}) {identity}"
