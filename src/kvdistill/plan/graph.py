"""What must be built for a run, and in which order: nodes named by the hash of their recipe."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kvdistill.config.compose import Config
from kvdistill.errors import ConfigError
from kvdistill.plan.identity import (
    CAPTURE_VERSION,
    compression_science,
    data_science,
    half_science,
    hash_science,
    identify_by_content,
    leave_out_defaults,
    model_science,
    run_identity,
    tasks_science,
    tokenizer_science,
    tokens_science,
    without,
)

ONLY = "only"
"""What the one teacher of a calibration or store is called, so that two sets share it."""


@dataclass(frozen=True)
class Node:
    """A shared artefact or a run. Built once, whoever needs it."""

    kind: str
    """split, validation, model, calibration, kv or run."""
    name: str
    """Folder name: `kind-identity`, or the run's own."""
    recipe: Mapping[str, Any]
    """The config its job reads."""
    needs: Mapping[str, str]
    """Role -> name of the artefact it reads."""


def make_artifact(
    kind: str, recipe: Mapping[str, Any], needs: Mapping[str, str], science: Any
) -> Node:
    """A node named by its own science and that of what it reads."""
    key = hash_science({"kind": kind, "science": science, "needs": dict(needs)})
    return Node(kind, f"{kind}-{key}", recipe, needs)


def list_artifacts(config: Config) -> Iterator[tuple[str, Node]]:
    """Every artefact a run reads, with its role, each after what it needs itself."""
    split = make_artifact("split", {"data": config["data"]}, {}, data_science(config))
    yield "split", split
    yield "validation", make_validation_node(config, split)
    models_by_role: dict[str, Node] = {}
    for role, node in list_models(config):
        if "build" in node:
            needs = {"split": split.name} if node["reads_split"] else {}
            models_by_role[role] = make_artifact(
                "model", {"model": dict(node)}, needs, model_science(node)
            )
            yield role, models_by_role[role]
    if not config["trained"]:
        return
    for name, teacher in config["teachers"].items():
        # Named alike whatever the set calls it, so that two sets share it.
        recipe = {key: config[key] for key in CALIBRATION} | {"teachers": {ONLY: teacher}}
        needs = {"split": split.name} | {
            role: models_by_role[of].name
            for role, of in (("student", "student"), (f"teacher.{ONLY}", f"teacher.{name}"))
            if of in models_by_role
        }
        science = identify_by_content(recipe) | {
            "student": model_science(config["student"]),
            "teachers": model_science(teacher),
            "train": config["train"]["calibration_rows"],
            "budget": config["budget"]["seq_len"],
            "compression": compression_science(config),
            **tokens_science([config["student"], teacher]),
            **half_science([config["student"], teacher]),
        }
        science = leave_out_defaults(science)
        yield f"calibration.{name}", make_artifact("calibration", recipe, needs, science)
        if (spec := find_store_spec(config["source"])) is not None:
            yield f"kv.{name}", make_store_node(config, teacher, spec, needs)


def find_store_spec(source: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What the source, or one that it wraps, wants stored; None where it reads no store."""
    if "stored" in source:
        spec: Mapping[str, Any] = source["stored"]
        return spec
    inner = [find_store_spec(node) for node in source.values() if isinstance(node, Mapping)]
    return next((spec for spec in inner if spec is not None), None)


def make_store_node(
    config: Config, teacher: Mapping[str, Any], spec: Mapping[str, Any], needs: Mapping[str, str]
) -> Node:
    """One teacher's K and V for every run that captures alike; named by no weight of the student.

    Of the student it depends on how it reads (it cuts the texts) and on its depth (it is mapped).
    Raises ConfigError for texts in a style that is not stored.
    """
    check_style(config["style"], spec.get("style") if isinstance(spec, Mapping) else None)
    recipe = {key: config[key] for key in STORE} | {
        "teachers": {ONLY: teacher},
        "source": {"stored": spec},
        "budget": {key: config["budget"][key] for key in STORE_BUDGET if key in config["budget"]},
    }
    # Named without the student, but built after it: its tokenizer cuts the texts.
    needs_but_student = {role: name for role, name in needs.items() if role != "student"}
    science = {
        "version": CAPTURE_VERSION,
        "student": {
            "reads": tokenizer_science(config["student"]),
            "layers": config["student"]["geometry"]["layers"],
        },
        "teacher": model_science(teacher),
        "compression": compression_science(config),
        "layers": config["layers"],
        "seq_len": config["budget"]["seq_len"],
        "stored": leave_out_defaults(spec, "stored."),
        **tokens_science([config["student"], teacher]),
        **half_science([teacher]),
    }
    return replace(make_artifact("kv", recipe, needs_but_student, science), needs=needs)


def check_style(style: Mapping[str, Any], stored_style: Any) -> None:
    """Raises ConfigError naming the first template that a store would not hold."""
    whole = isinstance(stored_style, Mapping) and set(style) <= set(stored_style)
    if not whole or not isinstance(stored_style["templates"], Mapping):
        raise ConfigError(
            "source.stored.style must be a choice of style. Choose it, as "
            "style@source.stored.style=mixed, or use source=online."
        )
    for name, template in style["templates"].items():
        if stored_style["templates"].get(name) != template:
            raise ConfigError(
                f"style.templates.{name} is not stored as it stands: source.stored.style has "
                f"{', '.join(stored_style['templates'])}. Choose it there too, as "
                f"style@source.stored.style=..., or use source=online."
            )
    for key in ("chat", "date", "mask_prompt"):
        # A plan that was frozen before there was a date has none.
        if style.get(key) != stored_style.get(key):
            raise ConfigError(
                f"style.{key}={style.get(key)} but source.stored.style.{key}="
                f"{stored_style.get(key)}, so "
                f"other "
                f"texts would be stored than are read. Make them equal."
            )


STORE = ("student", "compression", "layers")
STORE_BUDGET = ("seq_len", "num_gpus", "max_unanswered")
CALIBRATION = (
    "student", "style", "compression", "alignment", "layers", "position", "train", "budget",
)  # fmt: skip


def make_validation_node(config: Config, split: Node) -> Node:
    """The check of the split against what runs are scored on, and calibrated on if trained."""
    tasks_node = without(config["tasks"], {"backend"})  # whoever answers, the items are the same
    recipe = {
        "data": {key: config["data"][key] for key in ("split", "leakage")},
        "tasks": tasks_node,
        "style": config["style"] if config["trained"] else None,
        "calibration_rows": config["train"]["calibration_rows"] if config["trained"] else None,
    }
    science = recipe | {"tasks": tasks_science({"tasks": tasks_node})}
    return make_artifact("validation", recipe, {"split": split.name}, leave_out_defaults(science))


def list_models(config: Config) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(role, config node) of the student and each teacher."""
    yield "student", config["student"]
    for name, node in config["teachers"].items():
        yield f"teacher.{name}", node


def make_run_node(config: Config, artifacts: Sequence[tuple[str, Node]]) -> Node:
    """A run's node; `named` are the artefacts it reads, by role."""
    key = run_identity(config)
    name = f"seed{config['seed']}-{key}" if config["trained"] else f"untrained-{key}"
    frozen = without(config, {"cluster", "estimate", "code"})
    return Node("run", name, frozen, {role: node.name for role, node in artifacts})
