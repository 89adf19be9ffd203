"""Claims judged: supported, refuted, inconclusive, or met by the point estimate only.

A word is earned by the corrected p of its bound (claims/families.py), never by an interval alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kvdistill.stats.arm_differences import list_differences
from kvdistill.stats.audit.looks import adjust_for_look
from kvdistill.stats.audit.registration import REWORDED, describe_registration
from kvdistill.stats.audit.withdrawn import explain_withdrawal
from kvdistill.stats.claim_measures import Measurement, measure_claim
from kvdistill.stats.claims.bound_tests import compute_bound_p
from kvdistill.stats.claims.families import EXPLORATORY, Family, correct_families
from kvdistill.stats.claims.measurement import list_errors
from kvdistill.stats.differences.base import ArmDifference
from kvdistill.stats.equal_budget import choose_view
from kvdistill.stats.hypotheses import (
    BASELINE_KNOWN,
    BEFORE,
    FINDING,
    ROUTING,
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
PLAIN_LEVEL = 0.95
"""Confidence at which a word stands for itself; at any other it names its own."""
ARM_WITHDRAWN = "withdrawn"
"""Of a claim whose arm the study no longer compares."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One claim with its judgement."""

    claim: Claim
    question: str
    measured: Measurement
    verdict: str
    """The word as it is printed, with what qualifies it: `supported at 50 %`."""
    outcome: str
    """The word alone."""
    level: float
    """Confidence that its word stands for, over all looks at the data."""
    confidence: float
    """At which this look judges, which is stricter where several are planned."""
    p: float | None
    """Two-sided, of the truth being the bound; None where there is no test."""
    adjusted_p: float | None = None
    """After correction over its family; a claim judged alone has its own p."""
    family: Family | None = None
    """The claims it was corrected with; None of a claim judged alone."""
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
    """Every claim of the study, corrected in families: its questions', then the stats group's."""
    verdicts = []
    for question in study.questions.values():
        nodes = [*question.hypotheses, *question.criteria]
        verdicts += [judge_claim(study, node, question, settings) for node in nodes]
    nodes = [*settings.hypotheses, *settings.criteria]
    verdicts += [judge_claim(study, node, None, settings) for node in nodes]
    verdicts += [
        replace(judge_claim(study, node, None, settings), recorded=WITHDRAWN)
        for node in list_withdrawn_claims(study, settings)
    ]
    return correct_verdicts(study, verdicts)


def correct_verdicts(study: Study, verdicts: Sequence[Verdict]) -> list[Verdict]:
    """The verdicts by the p values that are left after correction over each family."""
    names = [name_family(study, verdict) for verdict in verdicts]
    entries = [(name, one.p) for name, one in zip(names, verdicts, strict=True)]
    corrected = []
    for verdict, (family, p) in zip(verdicts, correct_families(entries), strict=True):
        outcome = verdict.outcome
        if outcome != ARM_WITHDRAWN:
            alpha = 1 - verdict.confidence
            outcome = decide_verdict(verdict.claim, verdict.measured, p, alpha)[0]
        corrected.append(
            replace(
                verdict,
                adjusted_p=p,
                family=family,
                outcome=outcome,
                verdict=qualify_word(outcome, verdict.level, family.name == EXPLORATORY),
            )
        )
    return corrected


def name_family(study: Study, verdict: Verdict) -> str:
    """The question whose recorded claims it is corrected with, or the exploratory ones' family.

    A withdrawn claim stays in the family of the question that has its arm: withdrawing a claim
    lightens no correction. What the root's record does not hold is exploratory.
    """
    is_withdrawn = verdict.recorded == WITHDRAWN
    if verdict.recorded.startswith((BEFORE, BASELINE_KNOWN, REWORDED)) and not is_withdrawn:
        return verdict.question
    if not is_withdrawn:
        return EXPLORATORY
    homes = [q.name for q in study.questions.values() if verdict.claim.arm in q.arms]
    return homes[0] if homes else verdict.question


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
    """One claim judged alone, by the p value of its bound; `correct_verdicts` corrects it."""
    claim = parse_claim(node, f"{question.name if question else 'stats'}.hypotheses")
    level = choose_level(claim, settings)
    settings = adjust_for_look(replace(settings, confidence=level), study, question)
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
    p = compute_claim_p(claim, measured)
    word, margin = decide_verdict(claim, measured, p, settings.alpha)
    if problems and any(withdrawals.values()):
        word = ARM_WITHDRAWN
    return Verdict(
        claim=claim,
        question=question.name if question else "study",
        measured=measured,
        verdict=qualify_word(word, level),
        outcome=word,
        confidence=settings.confidence,
        level=level,
        p=p,
        adjusted_p=p,
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


def choose_level(claim: Claim, settings: Settings) -> float:
    """Confidence at which a claim is judged: the study's, for a criterion at least 95 %."""
    if claim.level == FINDING:
        return settings.confidence
    return max(settings.confidence, PLAIN_LEVEL)


def compute_claim_p(claim: Claim, measured: Measurement) -> float | None:
    """Two-sided p of the truth being the claim's bound; None where nothing was tested."""
    if measured.p is not None or measured.estimate is None:
        return measured.p
    is_percent = measured.unit == "%"
    return compute_bound_p(
        measured.estimate, claim.bound, list_errors(measured), is_percent=is_percent
    )


def decide_verdict(
    claim: Claim, measured: Measurement, p: float | None, alpha: float
) -> tuple[str, float | None]:
    """(outcome, margin). A bound of exactly 0 must be passed, any other must be reached.

    Args:
        claim: with its bound.
        measured: its estimate.
        p: two-sided, of the truth being the bound, as corrected; None where there is no test.
        alpha: two-sided level that p must be below.
    """
    if measured.estimate is None:
        return PENDING, None
    sign = -1.0 if claim.at_most is not None else 1.0
    margin = sign * (measured.estimate - claim.bound)
    is_significant = p is not None and p < alpha
    if claim.measure == ROUTING:
        # Its bound is one on p itself, which the corrected p must keep too.
        shown = is_significant and p is not None and p < claim.bound and not measured.negligible
        return (SUPPORTED if shown else INCONCLUSIVE), margin
    point_met = margin > 0 or (margin == 0 and claim.bound != 0)
    if is_significant:
        return (SUPPORTED if point_met else REFUTED), margin
    return (POINT_ONLY if point_met else INCONCLUSIVE), margin


def qualify_word(outcome: str, level: float, is_exploratory: bool = False) -> str:
    """The word as it may be printed: plain where it was earned at 95 %, from a recorded claim."""
    if outcome not in (SUPPORTED, REFUTED):
        return outcome
    suffix = " (exploratory)" if is_exploratory else ""
    # Rounding of 1 - alpha is no other level.
    return outcome + suffix + ("" if abs(level - PLAIN_LEVEL) < 1e-9 else f" at {100 * level:g} %")


def judge_levels(verdicts: Sequence[Verdict]) -> dict[str, str]:
    """Level of criteria -> the verdict of all its claims together: the weakest decides."""
    order = (REFUTED, ARM_WITHDRAWN, PENDING, INCONCLUSIVE, POINT_ONLY, SUPPORTED)
    weakest: dict[str, Verdict] = {}
    for one in verdicts:
        if one.claim.level == FINDING or one.recorded == WITHDRAWN:
            continue
        other = weakest.setdefault(one.claim.level, one)
        # Of two supported ones that which says more about itself is the weaker.
        if (order.index(one.outcome), -len(one.verdict)) < (
            order.index(other.outcome), -len(other.verdict),
        ):  # fmt: skip
            weakest[one.claim.level] = one
    return {level: one.verdict for level, one in weakest.items()}
