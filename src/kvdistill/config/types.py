"""Whether a config node holds what its target takes: names, and kinds of value.

The target's own annotations are the schema, so that a new strategy needs no other. Bounds are the
target's own business.
"""

import difflib
import inspect
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any

from kvdistill.errors import ConfigError

LONGEST = 120
SYNONYMS = {
    "learning_rate": "train.lr", "lr": "train.lr", "wd": "train.weight_decay",
    "warmup": "train.warmup_ratio", "warmup_steps": "train.warmup_ratio",
    "scheduler": "train.lr_scheduler_type", "max_steps": "budget.total_tokens",
    "num_train_epochs": "budget.total_tokens", "epochs": "budget.total_tokens",
    "tokens": "budget.total_tokens", "batch_size": "budget.batch_size",
    "per_device_train_batch_size": "budget.batch_size", "max_length": "budget.seq_len",
    "gradient_accumulation_steps": "budget.grad_accum", "max_seq_length": "budget.seq_len",
    "gpus": "budget.num_gpus", "student_model": "student",
    "teacher_model": "teachers", "dataset": "data",
    "output_dir": "root", "limit": "tasks.limit", "seeds": "seed",
}  # fmt: skip
"""What others call a setting of ours, whatever group it is looked for in."""
WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


def check_arguments(path: str, node: Mapping[str, Any], target: Any) -> None:
    """Raises ConfigError naming the setting: one that the target has not, or of another kind."""
    hints = typing.get_type_hints(target.__init__ if inspect.isclass(target) else target)
    known = list(inspect.signature(target).parameters)
    for key, value in node.items():
        if key.startswith("_"):
            continue
        if key not in known:
            raise ConfigError(
                f"{path}.{key} is no setting of {target.__name__}.{suggest_key(path, key, known)}"
            )
        hint = hints.get(key, Any)
        if not is_of_kind(value, hint):
            raise ConfigError(f"{path}.{key}={format_value(value)} must be {describe_kind(hint)}.")


def walk_leaves(path: str, node: Any) -> Iterator[tuple[str, Any]]:
    """Every value of a node that is no mapping and no list, with its path."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from walk_leaves(f"{path}.{key}".lstrip("."), value)
    elif isinstance(node, list | tuple):
        for place, value in enumerate(node):
            yield from walk_leaves(f"{path}[{place}]", value)
    else:
        yield path, node


def list_models(config: Mapping[str, Any]) -> dict[str, Any]:
    """Config path -> node of each model of a config: the student, then the teachers."""
    teachers = {f"teachers.{name}": node for name, node in config["teachers"].items()}
    return {"student": config["student"], **teachers}


def parse_day(path: str, value: str | None) -> date | None:
    """A setting as a day; null is None. Raises ConfigError for what is no day."""
    try:
        return None if value is None else date.fromisoformat(value)
    except ValueError as error:
        raise ConfigError(
            f"{path}={format_value(value)} is no day. Give one as YYYY-MM-DD, or null."
        ) from error


def format_value(value: Any) -> str:
    """The value as an error repeats it: a long one is cut, so that what must hold is still read."""
    return shorten(repr(value))


def shorten(text: str) -> str:
    """The text's beginning where it is long."""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def suggest_key(path: str, key: str, known: Sequence[str], otherwise: str = " Drop it.") -> str:
    """The way out of a misspelt key, as the end of an error; `otherwise` where none is near."""
    synonym = SYNONYMS.get(key.rpartition(".")[2])
    # Deep inside a model's node a word is that model's own.
    if synonym is not None and "." not in path:
        return f" Did you mean {synonym}?"
    close = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    return f" Did you mean {f'{path}.{close[0]}'.lstrip('.')}?" if close else otherwise


def suggest_choice(name: str, options: Sequence[str]) -> str:
    """The way out of a name that is none of the options, as the end of an error."""
    close = difflib.get_close_matches(name, options, n=1)
    nearest = f"Did you mean {close[0]}? " if close else ""
    return f"{nearest}Choose one of {', '.join(options)}."


def is_of_kind(value: Any, hint: Any) -> bool:
    """Whether a value as YAML gives it is of that kind; a whole number is a number too."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(is_of_kind(value, part) for part in parts)
    if origin is typing.Literal:
        return value in parts
    if hint in (None, types.NoneType):
        return value is None
    if hint in (int, float):
        # Python counts True as an int; YAML's true is no number.
        return isinstance(value, (int, hint)) and not isinstance(value, bool)
    if hint in (bool, str):
        return isinstance(value, hint)
    if isinstance(value, Mapping) and "_target_" in value:
        return True  # an object by then, checked when it is built
    kind = origin or hint
    # A type variable or a callable: left to whoever is built.
    if not inspect.isclass(kind):
        return True
    if issubclass(kind, Mapping):
        key, item = parts or (Any, Any)
        return isinstance(value, Mapping) and all(
            is_of_kind(k, key) and is_of_kind(v, item) for k, v in value.items()
        )
    if issubclass(kind, Sequence):
        return isinstance(value, list | tuple) and all(
            is_of_kind(v, *parts[:1] or (Any,)) for v in value
        )
    return True


def describe_kind(hint: Any) -> str:
    """The kind in words, as an error says it."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(describe_kind(part) for part in parts)
    if origin is typing.Literal:
        return " or ".join(map(str, parts))
    if hint in (None, types.NoneType):
        return "null"
    if hint in WORDS:
        return WORDS[hint]
    if inspect.isclass(origin) and issubclass(origin, Mapping):
        return f"a mapping to {describe_kind(parts[1])}" if parts else "a mapping"
    if inspect.isclass(origin) and issubclass(origin, Sequence):
        return f"a list, each {describe_kind(parts[0])}"
    return "another value"
