"""What a study withdrew, read with its records: out of every comparison, and never out of sight."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from kvdistill.stats.study import QuestionRecords, Run, Study, WithdrawnArm


def read_withdrawn(
    plan: Mapping[str, Any], keys: Mapping[str, str], runs: Mapping[str, Run]
) -> Iterator[WithdrawnArm]:
    """The withdrawals of a plan.json.

    Args:
        plan: its content.
        keys: question of the plan -> what the study calls it, where several are joined.
        runs: identity -> run, of everything that the plan ever had.
    """
    for node in plan.get("withdrawn", ()):
        question = plan["questions"].get(node["question"], {})
        arms = question.get("arms", {}) if node["question"] else {}
        again = set(arms.get(node["label"], {}).values())
        if not node["question"]:
            again = set((plan.get("references") or {}).values())
        identities = dict.fromkeys(node["runs"].values())
        yield WithdrawnArm(
            question=keys.get(node["question"], node["question"]),
            label=node["label"],
            runs=[runs[identity] for identity in identities if identity in runs],
            reason=node["reason"],
            time=node["time"],
            whole=node["run"] is None,
            planned_again=bool(again & set(identities)) or (node["run"] is None and bool(again)),
        )


def drop_withdrawn(
    runs: Mapping[str, Run],
    questions: Mapping[str, QuestionRecords],
    references: Mapping[str, Run],
    withdrawn: Iterable[WithdrawnArm],
) -> dict[str, Run]:
    """The runs without those that were withdrawn and that nothing reads any more."""
    arms = [arm for question in questions.values() for arm in question.arms.values()]
    used = {run.identity for arm in arms for run in arm.runs.values()}
    used |= {run.identity for run in references.values()}
    gone = {run.identity for one in withdrawn for run in one.runs} - used
    return {identity: run for identity, run in runs.items() if identity not in gone}


def explain_withdrawal(study: Study, question: str | None, label: str) -> str:
    """Why a claim about this label cannot be judged; empty where nothing was withdrawn of it.

    `question` is None for a claim that belongs to none: any question's withdrawal counts.
    """
    return "; ".join(
        describe_withdrawal(one)
        for one in study.withdrawn
        # A teacher is withdrawn from no question, and so from every claim.
        if one.label == label and (question is None or one.question in ("", question))
    )


def describe_withdrawal(one: WithdrawnArm) -> str:
    """`LABEL was withdrawn on DAY: REASON`, with its seeds where the arm goes on."""
    seeds = ", ".join(str(run.seed) for run in one.runs)
    name = one.label if one.whole else f"{one.label} (seed {seeds})"
    again = ", and planned again since" if one.planned_again else ""
    return f"{name} was withdrawn on {one.time[:10]}{again}: {one.reason}"
