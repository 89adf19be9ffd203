"""What a study expects, written beside each run before it trains, and kept in its manifest."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kvdistill import layout
from kvdistill.files import is_complete, read_json, seal, write_json
from kvdistill.history import append_event
from kvdistill.plan.command_plan import Plan
from kvdistill.stats.hypotheses import build_registration, parse_claim

FILE_NAME = layout.HYPOTHESES
TRAINING_TRACES = (layout.CURVES, layout.CHECKPOINTS)
"""What a run has left once it trains."""


def register_claims(plan: Plan, folders: Mapping[str, Path]) -> None:
    """Adds the claims of a run's questions to its folder, as long as it has not started.

    What is added is also appended to the root's record, whose line each of these files names.
    """
    registrations: dict[str, dict[str, Any]] = {}
    for identity, run_claims in list_claims_by_run(plan).items():
        folder = folders[plan.runs[identity].node.name]
        if is_complete(folder) or any((folder / name).exists() for name in TRAINING_TRACES):
            continue
        old = read_claims(folder / FILE_NAME)
        merged = merge_claims(old or [], run_claims)
        if old is None or len(merged) > len(old):
            registrations[identity] = build_registration(merged)
    if registrations:
        event = append_event(plan.root, plan.study, "claimed", **group_claims(registrations))
        for identity, registration in registrations.items():
            path = folders[plan.runs[identity].node.name] / FILE_NAME
            write_json(path, registration | {"event": event.sha256})


def group_claims(registrations: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Every claim once with its words, and which runs hold which of them."""
    claims: dict[str, dict[str, Any]] = {}
    groups: dict[tuple[str, ...], list[str]] = {}
    for identity, registration in registrations.items():
        for claim in registration["claims"]:
            claims.setdefault(seal(claim), claim)
        digests = tuple(sorted({claim["sha256"] for claim in registration["claims"]}))
        groups.setdefault(digests, []).append(identity)
    return {
        "claims": list(claims.values()),
        "groups": [{"claims": list(key), "runs": runs} for key, runs in groups.items()],
    }


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


def read_claims(path: Path) -> list[dict[str, Any]] | None:
    """The claims that a run's file holds; None where there is no file yet."""
    return [drop_hash(one) for one in read_json(path)["claims"]] if path.exists() else None


def merge_claims(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those that were there, which stay whatever becomes of them, and the new ones.

    A claim in other words stands beside its first wording.
    """
    return list({seal(one): one for one in [*old, *new]}.values())


def drop_hash(node: Mapping[str, Any]) -> dict[str, Any]:
    """A recorded claim as it stood in its YAML."""
    return {key: value for key, value in node.items() if key != "sha256"}


def read_registration(folder: Path) -> dict[str, Any]:
    """The manifest's `hypotheses`: what was registered, nothing included; empty for an artefact."""
    path = folder / FILE_NAME
    return {"hypotheses": read_json(path)} if path.exists() else {}
