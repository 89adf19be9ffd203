"""Rules of the texts that are trained on, read from the config alone; called from check_values.py.

Whose answers they have, and whether the rows that are mapped have what the style asks for.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from kvdistill.config import types
from kvdistill.errors import ConfigError

GOLD, TEACHER, RIGHT_TEACHER = "gold", "teacher", "right_teacher"
ANSWER_CHOICES = (GOLD, TEACHER, RIGHT_TEACHER)
DECODING_KEYS = ("max_new_tokens", "temperature", "seed")
UNREAD = "kvdistill.kv.unread.Unread"
"""What source=none is built by: teachers that training does not read."""
EITHER = "kvdistill.kv.live_or_stored.LiveOrStored"
"""What source=auto is built by: read live or from a store, as the plan chooses."""
LIVE, STORED = "live", "stored"
EXACT = "float32"
DRAW_SEEDS = 2**63
FIELD = "{rationale}"
GROUP = "(?P<rationale>"


def describe_missing_rationale(config: Mapping[str, Any]) -> str | None:
    """One line where the style asks for a rationale and a mapping of columns gives none.

    None where it does not, and for a source that maps no columns.
    """
    names = [
        name
        for name, template in config["style"]["templates"].items()
        if any(FIELD in str(text) for text in template.values())
    ]
    unmapped = list(_list_unmapped(config["data"]["source"]))
    if not names or not unmapped:
        return None
    return (
        f"style.templates.{names[0]} asks for a rationale, and {unmapped[0]}=null maps none, so no "
        f"row can be rendered. Use style=direct, or map a column of worked answers."
    )


def _list_unmapped(source: Mapping[str, Any]) -> Iterator[str]:
    """The settings that would map a rationale and do not."""
    parts = source.get("parts")
    mappings = (
        {f"data.source.parts.{name}": (part, "columns") for name, part in parts.items()}
        if isinstance(parts, Mapping)
        else {"data.source": (source, "fields")}
    )
    for path, (node, key) in mappings.items():
        columns = node.get(key) if isinstance(node, Mapping) else None
        if not isinstance(columns, Mapping) or GROUP in str(node.get("pattern") or ""):
            continue
        if not columns.get("rationale"):
            yield f"{path}.{key}.rationale"


def check_answers(config: Mapping[str, Any]) -> None:
    """Refuses a choice of answers that is none, and one that the teachers cannot give."""
    data, teachers = config["data"], list(config["teachers"])
    choice, only = data["answers"], data["answers_from"]
    if choice not in ANSWER_CHOICES:
        raise ConfigError(
            f"data.answers={types.format_value(choice)} is none of {', '.join(ANSWER_CHOICES)}. "
            f"Choose one."
        )
    check_decoding(data["decoding"])
    if not config["trained"]:
        return
    check_unread(config)
    if choice == GOLD:
        if only is not None:
            raise ConfigError(
                f"data.answers_from={types.format_value(only)}, but data.answers=gold takes no "
                f"teacher's answers. Use data.answers=teacher, or drop it."
            )
        return
    if not teachers:
        raise ConfigError(
            f"data.answers={choice} needs a teacher who answers, but teachers=none. Choose "
            f"teachers, as arm=sequence_kd does, or use data.answers=gold."
        )
    if only is not None and only not in teachers:
        raise ConfigError(
            f"data.answers_from={types.format_value(only)} is no teacher of this run. Choose one "
            f"of {', '.join(teachers)}, or null for all."
        )


def check_decoding(node: Any) -> None:
    """Refuses settings of writing that could not be followed."""
    if not isinstance(node, Mapping) or set(node) != {*DECODING_KEYS}:
        raise ConfigError(
            f"data.decoding={types.format_value(node)} must give {', '.join(DECODING_KEYS)}. "
            f"Set them one by one, as data.decoding.temperature=0.7."
        )
    tokens, temperature, seed = (node[key] for key in DECODING_KEYS)
    if tokens is not None and (not types.is_of_kind(tokens, int) or tokens < 1):
        raise ConfigError(
            f"data.decoding.max_new_tokens={types.format_value(tokens)} must be a whole number of "
            f"1 or more, or null for budget.seq_len."
        )
    if not types.is_of_kind(temperature, float) or not 0 <= temperature < math.inf:
        raise ConfigError(
            f"data.decoding.temperature={types.format_value(temperature)} must be 0 (the likeliest "
            f"token) or more."
        )
    if not types.is_of_kind(seed, int) or not 0 <= seed < DRAW_SEEDS:
        raise ConfigError(
            f"data.decoding.seed={types.format_value(seed)} must be a whole number of 0 or more."
        )


def check_unread(config: Mapping[str, Any]) -> None:
    """Refuses source=none where teachers are matched, and where nothing is taken of them."""
    if config["source"].get("_target_") != UNREAD:
        return
    for path in ("loss.kv_weight", "logits.weight"):
        group, _, key = path.partition(".")
        if config[group][key]:
            raise ConfigError(
                f"{path}={config[group][key]}, but source=none reads no teacher, so there is "
                f"nothing to match. Use source=online, or {path}=0."
            )
    if config["data"]["answers"] == GOLD:
        raise ConfigError(
            "source=none reads no teacher and data.answers=gold takes none's answers, so the "
            "teachers would do nothing. Use data.answers=teacher, or arm=sft."
        )


def holds_store(node: Mapping[str, Any]) -> bool:
    """Whether a node of a source, without those in it, reads a store."""
    return "stored" in node and node.get("read", STORED) == STORED


def check_reading(config: Mapping[str, Any]) -> None:
    """Refuses a source=auto that would not be the same live and stored."""
    for node in _walk_nodes(config["source"]):
        if node.get("_target_") != EITHER:
            continue
        if node["read"] not in (None, LIVE, STORED):
            raise ConfigError(
                f"source.read={types.format_value(node['read'])} must be {LIVE} or {STORED}, or "
                f"null for what the plan reckons to cost less."
            )
        for key in ("dtype", "states"):
            if node["stored"][key] != EXACT:
                raise ConfigError(
                    f"source.stored.{key}={node['stored'][key]}, but source=auto is the same K and "
                    f"V live and stored, so it stores {EXACT}. Use source=store for less."
                )


def check_on_policy(config: Mapping[str, Any]) -> None:
    """Refuses own texts that nobody would read, or that cannot be written as the rest is set."""
    node = config["on_policy"]
    if node["every"] < 0 or not 0 <= node["temperature"] < math.inf:
        key = "every" if node["every"] < 0 else "temperature"
        raise ConfigError(f"on_policy.{key} must be 0 or more, got {node[key]}.")
    for key in ("texts", "max_new_tokens"):
        if node[key] is not None and node[key] < 1:
            raise ConfigError(f"on_policy.{key}={node[key]} must be 1 or more. null sets no bound.")
    if not (config["trained"] and node["every"]):
        return
    where = f"on_policy.every={node['every']}"
    if not config["teachers"] or config["source"].get("_target_") == UNREAD:
        raise ConfigError(
            f"{where} has the student write texts for teachers to read, and none is read. Choose "
            f"teachers and source=online, or use on_policy=none."
        )
    if any(holds_store(each) for each in _walk_nodes(config["source"])):
        raise ConfigError(
            f"{where}: source=store holds what teachers made of texts that were there before, and "
            f"the student's own are not. Use source=online, or on_policy=none."
        )
    if not config["style"]["mask_prompt"]:
        raise ConfigError(
            f"{where} needs to know where a text's prompt ends, and style.mask_prompt=false makes "
            f"all of it answer. Use style.mask_prompt=true, or on_policy=none."
        )
    if config["train"]["torch_compile"]:
        raise ConfigError(
            f"{where} writes token by token, at a length that grows, for which "
            f"train.torch_compile=true would compile anew. Use train.torch_compile=false."
        )


def _walk_nodes(node: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(node, Mapping):
        yield node
        for value in node.values():
            yield from _walk_nodes(value)
