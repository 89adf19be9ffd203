"""What of its teachers a run compares its student with: K and V, next-token distributions, or both.

`kv=none` leaves K and V out: none are captured, calibrated or stored, and a teacher that is asked
for its distributions runs to its head and no hook sees it.
"""

from collections.abc import Mapping
from typing import Any

from kvdistill.plan.teaching.unread import reads_teachers

COMPETENCE = "competence"
"""Field of a fusion's YAML that has it weigh teachers by what their answers' logits say of them."""
TASK_COMPETENCE = "task_competence"
"""The same of one that asks on validation texts, before the first step, and never again."""


def matches_kv(config: Mapping[str, Any]) -> bool:
    """Whether training matches the teachers' K and V, with any weight, 0 among them."""
    kv = config["kv"]
    taught = bool(config["teachers"]) and reads_teachers(config)
    return taught and kv["keys"] + kv["values"] > 0


def reads_answers(config: Mapping[str, Any]) -> bool:
    """Whether the teachers run to their heads, for distributions over their answers' tokens."""
    # Calibrations, and plans that were frozen before there were distributions, have none.
    if (config.get("logits") or {}).get("weight", 0) > 0:
        return bool(config["teachers"]) and reads_teachers(config)
    fusion = config.get("fusion") or {}
    measures = [find_competence(fusion, field) for field in (COMPETENCE, TASK_COMPETENCE)]
    return any(measure is not None for measure in measures) and matches_kv(config)


def scores_answers(config: Mapping[str, Any]) -> bool:
    """Whether the heads of teachers that run to them compute in every step."""
    if (config.get("logits") or {}).get("weight", 0) > 0:
        return reads_answers(config)
    return reads_answers(config) and find_competence(config["fusion"], COMPETENCE) is not None


def find_competence(fusion: Mapping[str, Any], field: str = COMPETENCE) -> str | None:
    """The measure that a fusion, or one that it goes through, has in this field; None for none."""
    if field in fusion:
        return str(fusion[field])
    inner = [find_competence(node, field) for node in fusion.values() if isinstance(node, Mapping)]
    return next((measure for measure in inner if measure is not None), None)
