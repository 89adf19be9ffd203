"""What a `planned` event holds: questions, claims, arms, seeds, and how they will be judged."""

import json
from collections.abc import Mapping
from typing import Any

from kvdistill.plan.command_plan import Plan
from kvdistill.plan.study_plan import Question
from kvdistill.stats.hypotheses import hash_claim

CLAIMS = ("hypotheses", "criteria")


def describe_plan(plan: Plan) -> dict[str, Any]:
    """What is asked: questions with their claims, arms and seeds, and how they will be judged."""
    stats = plan.config["stats"]
    facts = {
        "questions": {
            name: {
                "text": question.text,
                "primary": question.judging.get("primary"),
                "claims": describe_claims(question.judging),
                "arms": describe_arms(plan, question),
            }
            for name, question in plan.questions.items()
        },
        "claims": describe_claims(stats),
        "settings": describe_settings(stats),
    }
    # As it will be read back: keys are text, tuples are lists.
    as_read: dict[str, Any] = json.loads(json.dumps(facts))
    return as_read


def describe_claims(node: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The claims of a question or of the stats group, each with its hash."""
    claims = [claim for key in CLAIMS for claim in node.get(key) or ()]
    return [dict(claim) | {"sha256": hash_claim(claim)} for claim in claims]


def describe_settings(stats: Mapping[str, Any]) -> dict[str, Any]:
    """The stats group without its claims."""
    settings = {key: value for key, value in stats.items() if key not in CLAIMS}
    as_read: dict[str, Any] = json.loads(json.dumps(settings))
    return as_read


def describe_arms(plan: Plan, question: Question) -> dict[str, Any]:
    """Label -> its recipe, whether it trains, and its runs by seed."""
    return {
        label: {
            "recipe": plan.runs[next(iter(seeds.values()))].recipe,
            "trained": bool(plan.runs[next(iter(seeds.values()))].config["trained"]),
            "runs": dict(seeds),
        }
        for label, seeds in question.arms.items()
    }
