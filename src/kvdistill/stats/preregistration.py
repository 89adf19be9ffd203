"""What a study expects, written beside each run before it trains, and kept in its manifest."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kvdistill import layout
from kvdistill.files import is_complete, read_json, write_json
from kvdistill.plan.command_plan import Plan
from kvdistill.stats.hypotheses import build_registration, parse_claim

FILE_NAME = layout.HYPOTHESES
TRAINING_TRACES = (layout.CURVES, layout.CHECKPOINTS)
"""What a run has left once it trains."""


def register_claims(plan: Plan, folders: Mapping[str, Path]) -> None:
    """Adds the claims of a run's questions to its folder, as long as it has not started."""
    for identity, run_claims in list_claims_by_run(plan).items():
        folder = folders[plan.runs[identity].node.name]
        if not (is_complete(folder) or any((folder / name).exists() for name in TRAINING_TRACES)):
            add_claims(folder / FILE_NAME, run_claims)


def list_claims_by_run(plan: Plan) -> dict[str, list[dict[str, Any]]]:
    """Identity -> what its questions and the stats group claim.

    Raises ConfigError for a claim that cannot be judged.
    """
    always = check_claims(plan.config["stats"], "stats.hypotheses")
    claims_by_run = {identity: list(always) for identity in plan.runs}
    for name, question in plan.questions.items():
        question_claims = check_claims(question.judging, f"sweeps/{name}.yaml: hypotheses")
        for identity in set(question.identities()):
            claims_by_run[identity] += question_claims
    return claims_by_run


def check_claims(node: Mapping[str, Any], where: str) -> list[dict[str, Any]]:
    """The checked claims of a question or of the stats group."""
    claims = [dict(one) for one in [*(node.get("hypotheses") or ()), *(node.get("criteria") or ())]]
    for one in claims:
        parse_claim(one, where)
    return claims


def add_claims(path: Path, claims: list[dict[str, Any]]) -> None:
    """The claims into the file; one that was there stays there, reworded or withdrawn later."""
    old = read_json(path)["claims"] if path.exists() else []
    merged = {one["sha256"]: one for one in [*build_registration(claims)["claims"], *old]}
    write_json(path, build_registration([drop_hash(one) for one in merged.values()]))


def drop_hash(node: Mapping[str, Any]) -> dict[str, Any]:
    """A recorded claim as it stood in its YAML."""
    return {key: value for key, value in node.items() if key != "sha256"}


def read_registration(folder: Path) -> dict[str, Any]:
    """The manifest's `hypotheses`: what was registered, nothing included; empty for an artefact."""
    path = folder / FILE_NAME
    return {"hypotheses": read_json(path)} if path.exists() else {}
