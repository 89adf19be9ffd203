"""What was expected, as written before training: its schema, its hash, and when it was recorded.

A claim names an arm, mostly a baseline, a measure and one bound. It never changes a run; it is
only written into the manifests, so that a later edit can be told from a prediction.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from kvdistill.config import types
from kvdistill.errors import ConfigError
from kvdistill.stats.study import MACRO

FINDING = "finding"
LEVELS = (FINDING, "minimum", "ideal", "stretch")
KV_COLUMNS = ("kv", "k", "v")
CURVE_COLUMNS = (*KV_COLUMNS, "ce", "loss")
PAIR_MEASURES = ("tasks_improved", "std", *CURVE_COLUMNS)
"""Measures of two arms, beside scores and efficiency.KEY."""
EFFICIENCY_PREFIX = "efficiency."
ROUTING = "routing"


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One bound on one measure. Exactly one of at_least and at_most is set."""

    name: str
    arm: str
    """A label of the study, `teacher NAME` for a reference."""
    baseline: str | None = None
    """None: the arm's own level is meant."""
    measure: str = MACRO
    """macro or a task (points); tasks_improved (a count); std, or kv, ce, loss (last validation
    value), or efficiency.KEY (percent of the baseline's); routing (mutual information)."""
    at_least: float | int | None = None
    at_most: float | int | None = None
    level: str = "finding"
    """finding, or the criterion's level: minimum, ideal, stretch."""
    text: str = ""
    expected: float | int | None = None
    """What is thought to be true, in the measure's unit: stage=plan says how often the bound would
    then be shown. It judges nothing."""

    def __post_init__(self) -> None:
        if self.measure != "routing" and (self.at_least is None) == (self.at_most is None):
            raise ConfigError(f"{self.name}: exactly one of at_least and at_most must be set.")
        if self.level not in LEVELS:
            raise ConfigError(
                f"{self.name}.level={self.level} is no level. Choose one of {', '.join(LEVELS)}."
            )

    @property
    def bound(self) -> float:
        """The threshold, in the measure's unit."""
        value = self.at_least if self.at_least is not None else self.at_most
        return float(value or 0)


def parse_claim(node: Mapping[str, Any], where: str = "hypotheses") -> Claim:
    """A YAML node as a claim. Raises ConfigError naming the key."""
    known = [field.name for field in fields(Claim)]
    for key in node:
        if key not in known:
            raise ConfigError(f"{where}.{key} is no key of a claim. Use {', '.join(known)}.")
    for key in ("name", "arm"):
        if not node.get(key):
            raise ConfigError(
                f"{where}: a claim needs {key}, got {types.format_value(dict(node))}."
            )
    types.check_arguments(where, node, Claim)
    try:
        return Claim(**node)
    except ConfigError as error:
        raise ConfigError(f"{where}.{error}") from error


UNJUDGED_KEYS = ("text", "name", "expected")
"""Keys of a claim that no verdict depends on."""


def hash_claim(node: Mapping[str, Any]) -> str:
    """Hash of what a claim says: its bound, measure and arms. Words are compared as words."""
    content = {k: v for k, v in node.items() if k not in UNJUDGED_KEYS and v is not None}
    for key in ("at_least", "at_most"):
        if key in content:
            content[key] = float(content[key])
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def build_registration(claims: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What every run's manifest keeps under `hypotheses`, written before its training."""
    hashed_claims = [dict(node) | {"sha256": hash_claim(node)} for node in claims]
    study_digest = hashlib.sha256(
        "".join(sorted(one["sha256"] for one in hashed_claims)).encode()
    ).hexdigest()
    return {"sha256": study_digest, "claims": hashed_claims}


BEFORE = "recorded before training"
BASELINE_KNOWN = "recorded before the arm, after the baseline"
POST_HOC = "post hoc"
UNRECORDED = "not recorded in the manifests"
WITHDRAWN = "recorded before training, withdrawn or edited since"
