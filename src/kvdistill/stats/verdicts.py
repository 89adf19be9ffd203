"""Claims judged: supported, refuted, inconclusive, or met by the point estimate only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kvdistill.stats.arm_differences import list_differences
from kvdistill.stats.audit.looks import adjust_for_look
from kvdistill.stats.audit.registration import describe_registration
from kvdistill.stats.audit.withdrawn import explain_withdrawal
from kvdistill.stats.claim_measures import Measurement, measure_claim
from kvdistill.stats.differences.base import ArmDifference
from kvdistill.stats.equal_budget import choose_view
from kvdistill.stats.hypotheses import (
    WITHDRAWN,
    Claim,
    hash_claim,
    parse_claim,
)
from kvdistill.stats.settings import Settings
from kvdistill.stats.study import EQUAL_STEPS, REFERENCE_DECLARES, Arm, QuestionRecords, Study

SUPPORTED = "supported"
REFUTED = "refuted"
INCONCLUSIVE = "inconclusive"
POINT_ONLY = "met by the point estimate only"
PENDING = "pending"
ARM_WITHDRAWN = "withdrawn"
"""Of a claim whose arm the study no longer compares."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One claim with its judgement."""

    claim: Claim
    question: str
    measured: Measurement
    verdict: str
    margin: float | None
    """How far the estimate is on the good side of the bound, in the unit."""
    recorded: str
    withdrawn: str = ""
    """What was withdrawn of its arms, with the reason; shown beside the verdict."""
    contrast: Sequence[ArmDifference] = ()
    """What differs between arm and baseline beside the seeds."""
    view: str = EQUAL_STEPS
    """In what they are equal: steps, flops or time."""


def judge_claims(study: Study, settings: Settings) -> list[Verdict]:
    """Every claim of the study: its questions', then the stats group's."""
    verdicts = []
    for question in study.questions.values():
        nodes = [*question.hypotheses, *question.criteria]
        verdicts += [judge_claim(study, node, question, settings) for node in nodes]
    nodes = [*settings.hypotheses, *settings.criteria]
    verdicts += [judge_claim(study, node, None, settings) for node in nodes]
    return verdicts + [
        replace(judge_claim(study, node, None, settings), recorded=WITHDRAWN)
        for node in list_withdrawn_claims(study, settings)
    ]


def list_withdrawn_claims(study: Study, settings: Settings) -> list[dict[str, Any]]:
    """Claims that a manifest holds and nobody makes any more: a prediction cannot be unsaid."""
    current_claims = [*settings.hypotheses, *settings.criteria]
    for question in study.questions.values():
        current_claims += [*question.hypotheses, *question.criteria]
    current_digests = {hash_claim(node) for node in current_claims}
    withdrawn_claims: dict[str, dict[str, Any]] = {}
    withdrawn_runs = [run for one in study.withdrawn for run in one.runs]
    for run in [*study.runs.values(), *withdrawn_runs]:
        registration = run.manifest.get("hypotheses") or {}
        for node in registration.get("claims", ()):
            labels = [node.get(key) for key in ("arm", "baseline") if node.get(key)]
            # A run shared with another study also holds that study's claims, on other arms.
            is_of_this_study = all(
                find_arm(study, label, None) or explain_withdrawal(study, None, label)
                for label in labels
            )
            if node["sha256"] not in current_digests and is_of_this_study:
                withdrawn_claims[node["sha256"]] = {k: v for k, v in node.items() if k != "sha256"}
    return list(withdrawn_claims.values())


def judge_claim(
    study: Study, node: Mapping[str, Any], question: QuestionRecords | None, settings: Settings
) -> Verdict:
    """One claim judged by its interval against its bound."""
    settings = adjust_for_look(settings, study, question)
    claim = parse_claim(node, f"{question.name if question else 'stats'}.hypotheses")
    arm = find_arm(study, claim.arm, question)
    baseline = find_arm(study, claim.baseline, question) if claim.baseline else None
    labels = [label for label in (claim.arm, claim.baseline) if label]
    withdrawals = {
        label: explain_withdrawal(study, question.name if question else None, label)
        for label in labels
    }
    problems = [
        withdrawals[label] or f"no arm called {label!r} in this study"
        for label, one in zip(labels, (arm, baseline), strict=False)
        if one is None
    ]
    if problems or arm is None:
        measured = Measurement(unit="", why="; ".join(problems))
    else:
        measured = measure_claim(study, claim, arm, baseline, settings, question)
    word, margin = decide_verdict(claim, measured)
    if problems and any(withdrawals.values()):
        word = ARM_WITHDRAWN
    return Verdict(
        claim=claim,
        question=question.name if question else "study",
        measured=measured,
        verdict=word,
        margin=margin,
        recorded=describe_registration(node, arm, baseline, study.history),
        withdrawn="; ".join(filter(None, withdrawals.values())),
        contrast=list_differences(arm, baseline, question) if arm and baseline else (),
        view=choose_view(arm, baseline, question) if arm and baseline else EQUAL_STEPS,
    )


def find_arm(study: Study, label: str, question: QuestionRecords | None) -> Arm | None:
    """The arm of that label: in the claim's question, then anywhere, then among the teachers."""
    is_here = question is None or label in question.arms
    if question and not is_here and explain_withdrawal(study, question.name, label):
        return None  # another question's arm of that label is another arm
    every = [question] if question else []
    for candidate in [*every, *study.questions.values()]:
        if label in candidate.arms:
            return candidate.arms[label]
    name = label.removeprefix("teacher ")
    if name != label and name in study.references:
        run = study.references[name]
        return Arm(label=label, runs={run.seed: run}, declared=REFERENCE_DECLARES)
    return None


def decide_verdict(claim: Claim, measured: Measurement) -> tuple[str, float | None]:
    """(verdict, margin). A bound of exactly 0 must be passed, any other must be reached."""
    if measured.estimate is None:
        return PENDING, None
    sign = -1.0 if claim.at_most is not None else 1.0
    margin = sign * (measured.estimate - claim.bound)
    if claim.measure == "routing":
        shown = measured.estimate < claim.bound and not measured.negligible
        return (SUPPORTED if shown else INCONCLUSIVE), margin
    point_met = margin > 0 or (margin == 0 and claim.bound != 0)
    if measured.low is None or measured.high is None:
        return (POINT_ONLY if point_met else INCONCLUSIVE), margin
    ends = sorted((sign * (measured.low - claim.bound), sign * (measured.high - claim.bound)))
    if ends[0] > 0 or (ends[0] == 0 and claim.bound != 0):
        return SUPPORTED, margin
    if ends[1] < 0:
        return REFUTED, margin
    return (POINT_ONLY if point_met else INCONCLUSIVE), margin


def judge_levels(verdicts: Sequence[Verdict]) -> dict[str, str]:
    """Level of criteria -> the verdict of all its claims together: the weakest decides."""
    order = (REFUTED, ARM_WITHDRAWN, PENDING, INCONCLUSIVE, POINT_ONLY, SUPPORTED)
    verdict_by_level: dict[str, str] = {}
    for verdict in verdicts:
        if verdict.claim.level != "finding" and verdict.recorded != WITHDRAWN:
            weakest = verdict_by_level.get(verdict.claim.level, SUPPORTED)
            verdict_by_level[verdict.claim.level] = min(weakest, verdict.verdict, key=order.index)
    return verdict_by_level
