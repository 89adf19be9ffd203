"""When a claim was written down, as manifests and the root's record prove together.

The manifest of a run holds the claims that lay beside it when it began to train. That alone proves
little: a folder can be deleted once its result is known, and trained again under a new claim. The
record knows which runs had finished when, so such a run was known before.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from kvdistill.history import History
from kvdistill.stats.hypotheses import (
    BASELINE_KNOWN,
    BEFORE,
    POST_HOC,
    UNRECORDED,
    hash_claim,
)
from kvdistill.stats.study import Arm, Run

KNOWN_BEFORE = "post hoc: its runs had finished before, and were trained again under this claim"
UNCHAINED = "in the manifests alone: the root's record does not hold it"
REWORDED = "recorded before training in other words"


def describe_registration(
    node: Mapping[str, Any], arm: Arm | None, baseline: Arm | None, history: History
) -> str:
    """When the claim was written down; where it was reworded since, with its recorded words."""
    trained = [one for one in (arm, baseline) if one is not None and one.trained]
    states = [look_up_claim(node, one, history) for one in trained]
    if not states or UNRECORDED in states:
        return UNRECORDED
    if states[0] in (POST_HOC, KNOWN_BEFORE):
        return states[0]
    if UNCHAINED in states:
        return UNCHAINED
    if states[0] == BEFORE and states[-1] != BEFORE:
        return BASELINE_KNOWN
    words = find_recorded_words(node, trained[0])
    return f"{REWORDED}: {words}" if words else BEFORE


def look_up_claim(node: Mapping[str, Any], arm: Arm, history: History) -> str:
    """What holds of the arm's finished runs, by the weakest: one of the states named above."""
    digest, states = hash_claim(node), []
    for run in arm.runs.values():
        if not run.done:
            continue
        registration = run.manifest.get("hypotheses")
        if not isinstance(registration, Mapping):
            return UNRECORDED
        if digest not in {claim.get("sha256") for claim in registration.get("claims", ())}:
            states.append(POST_HOC)
        else:
            states.append(look_up_run(digest, run, history))
    order = (POST_HOC, KNOWN_BEFORE, UNCHAINED, BEFORE)
    return min(states, key=order.index) if states else UNRECORDED


def look_up_run(digest: str, run: Run, history: History) -> str:
    """Whether the record has the claim for this run, and before it first had a result."""
    recorded_at = next(
        (
            event.index
            for event in history.events
            if event.event == "claimed"
            for group in event.facts.get("groups", ())
            if digest in group["claims"] and run.identity in group["runs"]
        ),
        None,
    )
    if recorded_at is None:
        return UNCHAINED
    seen_at = find_first_sighting(run.identity, history)
    return KNOWN_BEFORE if seen_at is not None and seen_at < recorded_at else BEFORE


def find_first_sighting(identity: str, history: History) -> int | None:
    """Index of the first event that counted this run among the finished ones."""
    for event in history.events:
        if identity in event.facts.get("finished", ()):
            return event.index
    return None


def find_recorded_words(node: Mapping[str, Any], arm: Arm) -> str:
    """Name and text of the claim as the arm's runs hold it; empty where it reads the same now."""
    digest = hash_claim(node)
    for run in arm.runs.values():
        claims = (run.manifest.get("hypotheses") or {}).get("claims", ())
        recorded = list(iterate_words(claims, digest))
        if recorded and format_words(node) not in recorded:
            return f"\u201c{recorded[0]}\u201d"
    return ""


def iterate_words(claims: Any, digest: str) -> Iterator[str]:
    """The words of every recorded wording of a claim."""
    return (format_words(claim) for claim in claims if claim.get("sha256") == digest)


def format_words(node: Mapping[str, Any]) -> str:
    """A claim's name and text on one line, as a reader sees them."""
    parts = (" ".join(str(node.get(key) or "").split()) for key in ("name", "text"))
    return " \u00b7 ".join(part for part in parts if part)
