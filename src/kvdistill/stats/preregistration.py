"""What a study expects, written beside each run before it trains, and kept in its manifest."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kvdistill.files import is_complete, read_json, write_json
from kvdistill.plan.command_plan import Plan
from kvdistill.stats.hypotheses import claim, registration

FILE = "hypotheses.json"
STARTED = ("curves.jsonl", "checkpoints")
"""What a run has left once it trains."""


def register(plan: Plan, folders: Mapping[str, Path]) -> None:
    """Adds the claims of a run's questions to its folder, as long as it has not started."""
    for identity, found in claims(plan).items():
        folder = folders[plan.runs[identity].node.name]
        if not (is_complete(folder) or any((folder / name).exists() for name in STARTED)):
            add(folder / FILE, found)


def claims(plan: Plan) -> dict[str, list[dict[str, Any]]]:
    """Identity -> what its questions and the stats group claim.

    Raises ConfigError for a claim that cannot be judged.
    """
    always = claims_of(plan.config["stats"], "stats.hypotheses")
    wanted = {identity: list(always) for identity in plan.runs}
    for name, question in plan.questions.items():
        made = claims_of(question.judging, f"sweeps/{name}.yaml: hypotheses")
        for identity in set(question.identities()):
            wanted[identity] += made
    return wanted


def claims_of(node: Mapping[str, Any], where: str) -> list[dict[str, Any]]:
    """The checked claims of a question or of the stats group."""
    found = [dict(one) for one in [*(node.get("hypotheses") or ()), *(node.get("criteria") or ())]]
    for one in found:
        claim(one, where)
    return found


def add(path: Path, claims: list[dict[str, Any]]) -> None:
    """The claims into the file; one that was there stays there, reworded or withdrawn later."""
    old = read_json(path)["claims"] if path.exists() else []
    merged = {one["sha256"]: one for one in [*registration(claims)["claims"], *old]}
    write_json(path, registration([without_hash(one) for one in merged.values()]))


def without_hash(node: Mapping[str, Any]) -> dict[str, Any]:
    """A recorded claim as it stood in its YAML."""
    return {key: value for key, value in node.items() if key != "sha256"}


def recorded(folder: Path) -> dict[str, Any]:
    """The manifest's `hypotheses`: what was registered, nothing included; empty for an artefact."""
    path = folder / FILE
    return {"hypotheses": read_json(path)} if path.exists() else {}
