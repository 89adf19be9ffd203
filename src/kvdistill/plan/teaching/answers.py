"""Whose answers a run trains on: `data.answers`, and the settings of how teachers write theirs."""

from collections.abc import Mapping
from typing import Any

from kvdistill.config.check_texts import GOLD

ANSWER_SETTINGS = {"answers", "answers_from", "decoding"}
"""Settings of `data` that no split depends on: it is made before any teacher is asked."""
ANSWERS_VERSION = 1
"""Of how answers are asked for, ended and judged; raise it with any change that gives others."""


def get_answer_choice(config: Mapping[str, Any]) -> str:
    """One of gold, teacher, right_teacher; gold where nothing is trained.

    And in a plan that was frozen before there was a choice.
    """
    return str(config["data"].get("answers", GOLD)) if config["trained"] else GOLD


def list_answering_teachers(config: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The teachers whose answers are trained on, by role; none where they are gold."""
    if get_answer_choice(config) == GOLD:
        return {}
    only = config["data"]["answers_from"]
    return {role: node for role, node in config["teachers"].items() if only is None or role == only}


def read_decoding(config: Mapping[str, Any]) -> dict[str, Any]:
    """`data.decoding` as it will be: its length in tokens, and no seed where nothing is drawn."""
    decoding = dict(config["data"]["decoding"])
    if decoding["max_new_tokens"] is None:
        decoding["max_new_tokens"] = config["budget"]["seq_len"]
    decoding["temperature"] = float(decoding["temperature"])
    if not decoding["temperature"]:
        decoding["seed"] = 0
    return decoding


def select_answer_science(config: Mapping[str, Any]) -> dict[str, Any]:
    """What of `data` decides which answers a run trains on; empty where they are gold."""
    if get_answer_choice(config) == GOLD:
        return {}
    return {
        "answers": get_answer_choice(config),
        # By order, not by role's name, as the teachers are.
        "answers_from": [
            number for number, role in enumerate(config["teachers"])
            if role in list_answering_teachers(config)
        ],
        "decoding": read_decoding(config),
    }  # fmt: skip


def answer_version(config: Mapping[str, Any]) -> dict[str, int]:
    """The version of how teachers' answers are made, where any is trained on."""
    return {} if get_answer_choice(config) == GOLD else {"answers": ANSWERS_VERSION}
