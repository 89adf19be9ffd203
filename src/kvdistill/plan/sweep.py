"""A question as a file: arms x axes x seeds, each a list of overrides."""

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from kvdistill.config.types import suggest_choice
from kvdistill.errors import ConfigError

JUDGED = ("hypotheses", "criteria", "primary", "figure", "match", "differs")
VIEWS = ("steps", "flops", "time")
"""In what the arms of a question may be equal."""
KEYS = {"question", "arms", "axes", "seeds", "only", "exclude", "resources", "tune", *JUDGED}

Rule = Mapping[str, Any]
"""`arm` and axes -> the value, or list of values, that a point must have; all must agree."""


@dataclass(frozen=True)
class Sweep:
    """One file of sweeps/."""

    name: str
    question: str
    arms: Mapping[str, Mapping[str, Any]]
    axes: Mapping[str, Sequence[Any]]
    seeds: Sequence[int]
    only: Sequence[Rule] = ()
    """Where given, a point must match one of these."""
    exclude: Sequence[Rule] = ()
    """A point that matches one of these is left out."""
    resources: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Arm -> what its jobs ask of SLURM beyond `cluster`; never part of an identity."""
    judged: Mapping[str, Any] = field(default_factory=dict)
    """How the answer will be judged; kept with every run, never part of its identity."""
    tune: Any = None
    """How every arm is tuned before it is confirmed, as the file has it: plan/tuning/design.py."""

    def runs(self) -> Iterator[tuple[str, str, list[str]]]:
        """(arm, label, overrides without a seed) of every arm and point of the axes asked for."""
        for arm, fixed in self.arms.items():
            for point in itertools.product(*self.axes.values()):
                moved = dict(zip(self.axes, point, strict=True))
                if self.includes({"arm": arm, **moved}):
                    # Axes stand in the label in the file's order, so that claims can name a point.
                    label = " ".join([arm, *(f"{key}={value}" for key, value in moved.items())])
                    yield arm, label, [format_override(k, v) for k, v in {**fixed, **moved}.items()]

    def includes(self, point: Mapping[str, Any]) -> bool:
        """Whether the rules leave this point in."""
        included = not self.only or any(matches_rule(rule, point) for rule in self.only)
        return included and not any(matches_rule(rule, point) for rule in self.exclude)


def unfold_sweeps(names: Iterable[str], folder: Path) -> list[str]:
    """The names, each once; in the place of a file that lists `sweeps` stand those it lists."""
    listed = [load_sweep_file(name, folder).get("sweeps", [name]) for name in names]
    return list(dict.fromkeys(itertools.chain.from_iterable(listed)))


def load_sweep_file(name: str, folder: Path) -> dict[str, Any]:
    """The YAML of that name. Raises ConfigError naming the file."""
    path = folder / f"{name}.yaml"
    if not re.fullmatch(r"\w[\w-]*", name) or not path.is_file():
        known = sorted(p.stem for p in folder.glob("*.yaml"))
        raise ConfigError(f"sweep={name} is no file of {folder}/. {suggest_choice(name, known)}")
    try:
        node = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: {' '.join(str(error).split())}") from error
    if not isinstance(node, dict):
        raise ConfigError(f"{path}: must map question, arms, axes and seeds, or list sweeps.")
    return node


def read_sweep(name: str, folder: Path) -> Sweep:
    """The sweep of that name. Raises ConfigError naming the file and the key."""
    node, path = load_sweep_file(name, folder), folder / f"{name}.yaml"
    if not isinstance(node.get("arms"), dict) or not node["arms"]:
        raise ConfigError(f"{path}: arms must map at least one label to its overrides.")
    if unknown := set(node) - KEYS:
        raise ConfigError(f"{path}: {unknown.pop()} is no key of a sweep. Use {sorted(KEYS)}.")
    check_rules(path, node)
    check_commands(path, node)
    check_settings(path, node)
    check_equality(path, node)
    judged = {key: node[key] for key in JUDGED if node.get(key)}
    sweep = Sweep(
        name=name,
        question=node.get("question", name),
        arms={str(label): dict(fixed or {}) for label, fixed in node["arms"].items()},
        axes=dict(node.get("axes") or {}),
        seeds=list(node.get("seeds") or [42, 43, 44]),
        only=list(node.get("only") or []),
        exclude=list(node.get("exclude") or []),
        resources=dict(node.get("resources") or {}),
        judged=judged,
        tune=node.get("tune"),
    )
    if not any(True for _ in sweep.runs()):
        raise ConfigError(f"{path}: only and exclude leave no point. Loosen a rule.")
    return sweep


def matches_rule(rule: Rule, point: Mapping[str, Any]) -> bool:
    """Whether the point has, for every key of the rule, its value or one of its values."""
    return all(
        point[key] == wanted or (isinstance(wanted, list) and point[key] in wanted)
        for key, wanted in rule.items()
    )


def check_rules(path: Path, node: Mapping[str, Any]) -> None:
    """Refuses a rule, or resources, for an arm, axis or value that the sweep does not have."""
    known = {"arm": list(node["arms"]), **(node.get("axes") or {})}
    for key in ("only", "exclude"):
        for rule in node.get(key) or []:
            if not isinstance(rule, dict) or not rule or set(rule) - set(known):
                raise ConfigError(f"{path}: {key}: {rule} must map some of {sorted(known)}.")
            for name, value in rule.items():
                values = value if value not in known[name] and isinstance(value, list) else [value]
                if unknown_values := [value for value in values if value not in known[name]]:
                    raise ConfigError(
                        f"{path}: {key}: {name}={unknown_values[0]} is no value of {name}. "
                        f"Use some of {known[name]}."
                    )
    if unknown_arms := set(node.get("resources") or {}) - set(node["arms"]):
        raise ConfigError(
            f"{path}: resources.{unknown_arms.pop()} is no arm. Use {sorted(node['arms'])}."
        )


def check_commands(path: Path, node: Mapping[str, Any]) -> None:
    """Refuses what only the command itself may say."""
    for arm, resources in (node.get("resources") or {}).items():
        if isinstance(resources, Mapping) and "setup" in resources:
            raise ConfigError(f"{path}: resources.{arm}.setup is shell. Give it as cluster.setup.")
    for keys in (*node["arms"].values(), node.get("axes") or {}):
        for key in keys or {}:
            if re.match(r"[+~]*(trust|hydra|cluster|root|study|stage|sweep)\b", str(key)):
                raise ConfigError(f"{path}: {key} is no setting of a sweep. Give it as override.")
            if re.match(r"[+~]*seed\b", str(key)):
                raise ConfigError(f"{path}: {key} is no setting of an arm. Use the key seeds.")


def check_settings(path: Path, node: Mapping[str, Any]) -> None:
    """Refuses an arm of which an axis, or another key of its own, sets the same again."""
    axes = list(node.get("axes") or {})
    for arm, settings in node["arms"].items():
        keys_by_path: dict[str, str] = {}
        for key in map(str, (*(settings or {}), *axes)):
            other = keys_by_path.setdefault(read_setting_path(key), key)
            if other != key or (key in axes and key in (settings or {})):
                raise ConfigError(
                    f"{path}: arms.{arm} sets {other} and {key} sets it again"
                    f"{' as an axis' if key in axes else ''}. Keep one of them."
                )


def check_equality(path: Path, node: Mapping[str, Any]) -> None:
    """Refuses a view in which arms cannot be equal, and `differs` that lists no names."""
    if node.get("match", VIEWS[0]) not in VIEWS:
        raise ConfigError(f"{path}: match={node['match']} must be one of {', '.join(VIEWS)}.")
    differs = node.get("differs") or []
    if not isinstance(differs, list) or not all(isinstance(each, str) for each in differs):
        raise ConfigError(
            f"{path}: differs={differs} must list settings or recorded facts in which the arms may "
            f"differ, as [train.lr, texts]."
        )


def read_setting_path(override: str) -> str:
    """The dotted path in the config that an override sets: `layers/map=all` sets layers.map."""
    key = override.partition("=")[0].lstrip("+~")
    group, _, package = key.partition("@")
    return (package.rpartition(":")[2] or group).replace("/", ".")


def format_override(key: str, value: Any) -> str:
    """`key=value` in Hydra's override grammar."""
    return f"{key}={format_literal(value)}"


def format_literal(value: Any) -> str:
    """A YAML value in Hydra's override grammar; any string is quoted unless it is a plain word."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{format_literal(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(format_literal(item) for item in value) + "]"
    if isinstance(value, str) and not value.replace("_", "").replace("-", "").isalnum():
        escaped = value.replace("\\", "\\\\").replace("'", "\\'")
        return f"'{escaped}'"
    return str(value)
