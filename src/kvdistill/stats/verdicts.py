"""Claims judged: supported, refuted, inconclusive, or met by the point estimate only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kvdistill.stats.claim_measures import Measured, measure
from kvdistill.stats.hypotheses import WITHDRAWN, Claim, claim, digest, recorded
from kvdistill.stats.settings import Settings
from kvdistill.stats.study import Arm, Question, Study

SUPPORTED = "supported"
REFUTED = "refuted"
INCONCLUSIVE = "inconclusive"
POINT_ONLY = "met by the point estimate only"
PENDING = "pending"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One claim with its judgement."""

    claim: Claim
    question: str
    measured: Measured
    verdict: str
    margin: float | None
    """How far the estimate is on the good side of the bound, in the unit."""
    recorded: str


def judge(study: Study, settings: Settings) -> list[Verdict]:
    """Every claim of the study: its questions', then the stats group's."""
    found = []
    for question in study.questions.values():
        nodes = [*question.hypotheses, *question.criteria]
        found += [verdict(study, node, question, settings) for node in nodes]
    nodes = [*settings.hypotheses, *settings.criteria]
    found += [verdict(study, node, None, settings) for node in nodes]
    return found + [
        replace(verdict(study, node, None, settings), recorded=WITHDRAWN)
        for node in withdrawn(study, settings)
    ]


def withdrawn(study: Study, settings: Settings) -> list[dict[str, Any]]:
    """Claims that a manifest holds and nobody makes any more: a prediction cannot be unsaid."""
    asked = [*settings.hypotheses, *settings.criteria]
    for question in study.questions.values():
        asked += [*question.hypotheses, *question.criteria]
    made = {digest(node) for node in asked}
    lost: dict[str, dict[str, Any]] = {}
    for run in study.runs.values():
        kept = run.manifest.get("hypotheses") or {}
        for node in kept.get("claims", ()):
            ends = [node.get(key) for key in ("arm", "baseline") if node.get(key)]
            # A run shared with another study also holds that study's claims, on other arms.
            here = all(find(study, label, None) is not None for label in ends)
            if node["sha256"] not in made and here:
                lost[node["sha256"]] = {k: v for k, v in node.items() if k != "sha256"}
    return list(lost.values())


def verdict(
    study: Study, node: Mapping[str, Any], question: Question | None, settings: Settings
) -> Verdict:
    """One claim judged by its interval against its bound."""
    asked = claim(node, f"{question.name if question else 'stats'}.hypotheses")
    arm = find(study, asked.arm, question)
    baseline = find(study, asked.baseline, question) if asked.baseline else None
    absent = [
        f"no arm called {label!r} in this study"
        for label, one in ((asked.arm, arm), (asked.baseline, baseline))
        if label and one is None
    ]
    if absent or arm is None:
        measured = Measured(unit="", why="; ".join(absent))
    else:
        measured = measure(study, asked, arm, baseline, settings)
    word, margin = decide(asked, measured)
    return Verdict(
        claim=asked,
        question=question.name if question else "study",
        measured=measured,
        verdict=word,
        margin=margin,
        recorded=recorded(node, arm, baseline),
    )


def find(study: Study, label: str, question: Question | None) -> Arm | None:
    """The arm of that label: in the claim's question, then anywhere, then among the teachers."""
    every = [question] if question else []
    for asked in [*every, *study.questions.values()]:
        if label in asked.arms:
            return asked.arms[label]
    name = label.removeprefix("teacher ")
    if name != label and name in study.references:
        run = study.references[name]
        return Arm(label=label, runs={run.seed: run})
    return None


def decide(asked: Claim, measured: Measured) -> tuple[str, float | None]:
    """(verdict, margin). A bound of exactly 0 must be passed, any other must be reached."""
    if measured.estimate is None:
        return PENDING, None
    sign = -1.0 if asked.at_most is not None else 1.0
    margin = sign * (measured.estimate - asked.bound)
    if asked.measure == "routing":
        return (SUPPORTED if measured.estimate < asked.bound else INCONCLUSIVE), margin
    met = margin > 0 or (margin == 0 and asked.bound != 0)
    if measured.low is None or measured.high is None:
        return (POINT_ONLY if met else INCONCLUSIVE), margin
    ends = sorted((sign * (measured.low - asked.bound), sign * (measured.high - asked.bound)))
    if ends[0] > 0 or (ends[0] == 0 and asked.bound != 0):
        return SUPPORTED, margin
    if ends[1] < 0:
        return REFUTED, margin
    return (POINT_ONLY if met else INCONCLUSIVE), margin


def levels(verdicts: Sequence[Verdict]) -> dict[str, str]:
    """Level of criteria -> the verdict of all its claims together: the weakest decides."""
    order = (REFUTED, PENDING, INCONCLUSIVE, POINT_ONLY, SUPPORTED)
    found: dict[str, str] = {}
    for one in verdicts:
        if one.claim.level != "finding" and one.recorded != WITHDRAWN:
            now = found.get(one.claim.level, SUPPORTED)
            found[one.claim.level] = min(now, one.verdict, key=order.index)
    return found
