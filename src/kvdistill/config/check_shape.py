"""What the plan reads of a config without building it: each must be there, and of its kind.

A strategy's own settings are its target's business (config/types.py), which needs torch to import.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from kvdistill.config import build, types
from kvdistill.config.check_rooms import check_own_rooms
from kvdistill.config.choices.explain_group_key import explain_choice_value
from kvdistill.errors import ConfigError

LARGEST = 2**63 - 1
"""What a whole number may be, in a file and in a library."""
LONGEST = 10_000
"""Characters of a text, and items of a list or mapping."""
DEEPEST = 20
"""Nodes inside each other."""
GROUPS = (
    "student", "teachers", "data", "style", "source", "compression", "alignment", "projection",
    "layers", "position", "kv", "fusion", "loss", "logits", "adapter", "on_policy", "budget",
    "train", "tasks", "stats", "estimate", "cluster",
)  # fmt: skip
CLOSED = {
    "layers": ("range", "map"),
    "loss": (
        "distance",
        "balance",
        "tokens",
        "schedule",
        "ce_weight",
        "kv_weight",
        "entropy_weight",
    ),
    "logits": ("distance", "teachers", "vocabulary", "weight", "temperature"),
}
"""Groups of several parts that no one strategy checks, with all that they may hold."""
DTYPES = ("float32", "bfloat16", "float16")
NODE = Mapping[str, Any]
READ: Mapping[str, Any] = {  # Any: config/check_values.py says more of it
    "stage": str, "arm": str, "scale": str, "trained": bool, "fixes": NODE,
    "run": str | int | None, "label": str | int | None, "reason": str | int | None,
    "model": str | None, "role": str | None, "name": str | int | None,
    "study": Any, "root": Any, "seed": Any, "references": Any, "code": str,
    "baseline": str | None,
    "trust": Sequence[str], "status": NODE, "smoke": NODE,
    "evaluate.run": str | int | None, "evaluate.model": str | None,
    "evaluate.revision": str | None, "evaluate.gguf_file": str | None, "evaluate.dtype": str,
    "publish.run": str | int | None, "publish.repo": str | None, "publish.output": str | None,
    "publish.push": bool, "publish.private": bool,
    "report.output": str | None, "report.runs": Sequence[str | int],
    "style.templates": Mapping[str, Mapping[str, str]], "style.chat": bool,
    "style.mask_prompt": bool, "data.validate_only": bool, "data.answers": str,
    "data.answers_from": str | None, "data.decoding": NODE,
    "layers.range": str | int,
}  # fmt: skip
ROOMS = (
    "style", "source", "compression", "alignment", "projection", "position", "fusion", "adapter",
    "layers.map", "loss.distance", "loss.balance", "loss.tokens", "loss.schedule",
    "logits.distance", "logits.teachers",
    "logits.vocabulary", "data.source", "data.split", "data.leakage", "tasks",
)  # fmt: skip
"""Each a node that says what it is built by."""
BUILT = ("tasks", "data.split", "data.leakage")
"""Those that need no torch and that a plan reads whole."""
MODEL: dict[str, Any] = {
    "name": str, "dtype": str, "geometry": NODE | None, "reads_split": bool,
    "reads_as": Sequence[str] | None, "placement": NODE | None, "build": NODE, "pretrained": NODE,
    "tokens_per_student_token": float,
}  # fmt: skip
BESIDE_MODEL: dict[str, Any] = {"projection": Any, "layers": Any}
"""What a teacher's node may hold beside its model: see check_own_rooms."""
OPTIONAL = (
    "reads_split", "reads_as", "placement", "build", "pretrained", "tokens_per_student_token",
    "geometry",
)  # fmt: skip
BUILT_NEEDS = ("reads_split", "geometry")
"""Those that a model must have which is built here."""


def check_size(path: str, node: Any, depth: int = 0) -> None:
    """Refuses what no setting is: endless, too deep, or not to be written to a file."""
    if depth > DEEPEST:
        raise ConfigError(f"{path} is deeper than {DEEPEST} nodes inside each other. Flatten it.")
    if isinstance(node, str | list | Mapping) and len(node) > LONGEST:
        raise ConfigError(f"{path} has {len(node)} parts; at most {LONGEST} are read. Shorten it.")
    if isinstance(node, Mapping):
        for key, value in node.items():
            # Keys are written to files too.
            check_size(f"{path}.{key}".lstrip("."), str(key), depth + 1)
            check_size(f"{path}.{key}".lstrip("."), value, depth + 1)
    elif isinstance(node, list):
        for place, value in enumerate(node):
            check_size(f"{path}[{place}]", value, depth + 1)
    elif isinstance(node, str):
        if any(0xD800 <= ord(letter) <= 0xDFFF or letter == "\0" for letter in node):
            raise ConfigError(
                f"{path}={types.format_value(node)} holds what no file can. Use other characters."
            )
    elif isinstance(node, int) and abs(node) > LARGEST:
        raise ConfigError(f"{path} must be from -2**63 to 2**63 - 1. Use a smaller number.")


def check_groups(config: Mapping[str, Any]) -> None:
    """Raises ConfigError for a group taken away; every other check reads them all."""
    for group in GROUPS:
        if not isinstance(config.get(group), Mapping):
            raise ConfigError(f"{group} must be one of its choices, got none. Do not remove it.")
    for group, known in CLOSED.items():
        for key in config[group]:
            if key not in known:
                raise ConfigError(
                    f"{group}.{key} is no setting.{types.suggest_key(group, key, known)}"
                )
        for key in known:
            if key not in config[group]:
                raise ConfigError(f"{group}.{key} must be given. Do not remove it.")


def check_presence(config: Mapping[str, Any]) -> None:
    """Raises ConfigError for what is missing, or of another kind than the plan reads."""
    for path, kind in READ.items():
        value = require_path(config, path)
        if not types.is_of_kind(value, kind):
            raise ConfigError(
                f"{path}={types.format_value(value)} must be {types.describe_kind(kind)}."
            )
    for path in ROOMS:
        node = require_path(config, path)
        if not isinstance(node, Mapping) or not isinstance(node.get("_target_"), str):
            hint = explain_choice_value(path, node) if isinstance(node, str) else ""
            raise ConfigError(
                f"{path} must be one of its choices, got {types.format_value(node)}.{hint}"
            )
    if not config["style"]["templates"]:
        raise ConfigError("style.templates is empty. Choose style=cot, direct or mixed.")
    check_model("student", config["student"])
    for name, node in config["teachers"].items():
        check_model(f"teachers.{name}", node, MODEL | BESIDE_MODEL)
        check_own_rooms(f"teachers.{name}", node)
    for path in BUILT:
        build.try_build(path, require_path(config, path))


def check_model(path: str, node: Any, known: Mapping[str, Any] = MODEL) -> None:
    """Of a student or teacher, all but its geometry; `known` are the keys that it may have."""
    if not isinstance(node, Mapping):
        raise ConfigError(
            f"{path} must be a model's node, got {types.format_value(node)}. Choose a model."
        )
    for key, value in node.items():
        if key not in known:
            raise ConfigError(
                f"{path}.{key} is no setting.{types.suggest_key(path, key, list(known))}"
            )
        if not types.is_of_kind(value, known[key]):
            raise ConfigError(
                f"{path}.{key}={types.format_value(value)} must be "
                f"{types.describe_kind(known[key])}."
            )
    for key in MODEL:
        required = key not in OPTIONAL or (key in BUILT_NEEDS and "build" in node)
        if key not in node and required:
            raise ConfigError(f"{path}.{key} must be given. Do not remove it.")
    # What is trained has float32 weights, or what its user says; a teacher's may be the plan's.
    dtypes = DTYPES if path == "student" else (*DTYPES, "auto")
    if node["dtype"] not in dtypes:
        raise ConfigError(
            f"{path}.dtype={node['dtype']} is none of {', '.join(dtypes)}. Choose one of them."
        )
    if ("build" in node) == ("pretrained" in node):
        raise ConfigError(f"{path}.build or {path}.pretrained: give exactly one of the two.")
    training: Any = (node.get("build") or {}).get("training")
    for key in ("steps", "batch_size") if training is not None else ():
        value = require_path(training, key, f"{path}.build.training.{key}")
        if not types.is_of_kind(value, int):
            raise ConfigError(
                f"{path}.build.training.{key}={types.format_value(value)} must be a whole number."
            )
    for path_read in node.get("reads_as") or ():
        require_path(node, path_read, f"{path}.reads_as names {path_read}, which")


def require_path(config: Mapping[str, Any], path: str, subject: str = "") -> Any:
    """The value at a dotted path; where there is none, a ConfigError that begins as said."""
    node: Any = config
    for key in path.split("."):
        if not isinstance(node, Mapping) or key not in node:
            raise ConfigError(f"{subject or path} must be given. Do not remove it.")
        node = node[key]
    return node


def check_added(overrides: Sequence[str], known: Sequence[str]) -> None:
    """Refuses a `+key=value` at the top of the config that no choice holds: nothing reads it."""
    for item in overrides:
        name = item.split("=", 1)[0].lstrip("+")
        if item.startswith("+") and re.fullmatch(r"\w+", name) and name not in known:
            raise ConfigError(f"{name} is no setting.{types.suggest_key('', name, known)}")
