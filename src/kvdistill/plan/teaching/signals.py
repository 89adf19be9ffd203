"""What of its teachers a run compares its student with: K and V, next-token distributions, or both.

`kv=none` leaves K and V out: none are captured, calibrated or stored, and a teacher that is asked
for its distributions runs to its head and no hook sees it.
"""

from collections.abc import Mapping
from typing import Any

from kvdistill.plan.teaching.unread import reads_teachers

COMPETENCE = "competence"
"""Field of a fusion's YAML that has it weigh teachers by what their answers' logits say of them."""


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
    return find_competence(config.get("fusion") or {}) is not None and matches_kv(config)


def find_competence(fusion: Mapping[str, Any]) -> str | None:
    """The measure that a fusion, or one that it goes through, weighs teachers by; None for none."""
    if COMPETENCE in fusion:
        return str(fusion[COMPETENCE])
    inner = [find_competence(node) for node in fusion.values() if isinstance(node, Mapping)]
    return next((measure for measure in inner if measure is not None), None)
