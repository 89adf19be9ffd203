"""Answers that the student writes in training for teachers to read: `on_policy`."""

from collections.abc import Mapping
from typing import Any

ON_POLICY_VERSION = 1
"""Of how own texts are written and compared; raise it with any change that gives others."""


def get_period(config: Mapping[str, Any]) -> int:
    """Steps from one with own texts to the next; 0: there are none.

    None either in a plan that was frozen before there was such a choice.
    """
    return int((config.get("on_policy") or {}).get("every", 0)) if config["trained"] else 0


def count_own_texts(config: Mapping[str, Any]) -> int:
    """Own texts of one micro-batch in a step that has them; 0 where none has."""
    if not get_period(config):
        return 0
    size, most = config["budget"]["batch_size"], config["on_policy"]["texts"]
    return int(size if most is None else min(size, most))


def select_on_policy_science(config: Mapping[str, Any]) -> dict[str, Any]:
    """What decides own texts; empty where there are none."""
    if not get_period(config):
        return {}
    version = {"version": ON_POLICY_VERSION} if ON_POLICY_VERSION > 1 else {}
    return {"on_policy": {**config["on_policy"], **version}}
