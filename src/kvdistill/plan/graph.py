"""What must be built for a run, and in which order: nodes named by the hash of their recipe."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kvdistill import layout
from kvdistill.config.check_texts import holds_store
from kvdistill.config.compose import Config
from kvdistill.errors import ConfigError
from kvdistill.layers.teacher_rooms import apply_own_rooms, drop_own_rooms
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
    trial_identity,
    without,
)
from kvdistill.plan.teaching.answers import (
    ANSWER_SETTINGS,
    ANSWERS_VERSION,
    list_answering_teachers,
    read_decoding,
)
from kvdistill.plan.teaching.signals import matches_kv, reads_answers
from kvdistill.plan.teaching.unread import reads_teachers
from kvdistill.plan.weights.conversion import CONVERSION, conversion_science, reads_gguf

ONLY = "only"
"""What the one teacher of a calibration or store is called, so that two sets share it."""
STATES = "states"
"""What a store says that it holds which has answers' last states, and no K and V."""
TRIAL = layout.TRIAL
"""Kind of a run that is trained and validated for a tuning, and never scored."""
RUN_KINDS = ("run", TRIAL)
"""What trains a student and lies in a study; all else is shared."""


@dataclass(frozen=True)
class Node:
    """A shared artefact or a run. Built once, whoever needs it."""

    kind: str
    """split, validation, model, conversion, answers, calibration, kv, run or trial."""
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
    recipe = {"data": without(config["data"], ANSWER_SETTINGS)}
    split = make_artifact("split", recipe, {}, data_science(config))
    yield "split", split
    if not list_answering_teachers(config):
        yield "validation", make_validation_node(config, split, {})
    models_by_role: dict[str, Node] = {}
    conversions: dict[str, Node] = {}
    for role, node in list_models(config):
        if "build" in node:
            needs = {"split": split.name} if node["reads_split"] else {}
            models_by_role[role] = make_artifact(
                "model", {"model": dict(node)}, needs, model_science(node)
            )
            yield role, models_by_role[role]
        elif reads_gguf(node):
            conversions[role] = make_conversion_node(node)
            yield role, conversions[role]
    if not config["trained"]:
        return
    if teachers := list_answering_teachers(config):
        answers = {
            name: read_conversions(
                make_answers_node(config, teacher, split, models_by_role.get(f"teacher.{name}")),
                {f"teacher.{ONLY}": conversions.get(f"teacher.{name}")},
            )
            for name, teacher in teachers.items()
        }
        yield from ((f"answers.{name}", node) for name, node in answers.items())
        yield "validation", make_validation_node(config, split, answers)
    for name, teacher in config["teachers"].items() if reads_teachers(config) else ():
        # With its own layer map in the run's place: runs share it that have that map for all.
        seen, teacher = apply_own_rooms(config, teacher), drop_own_rooms(teacher)
        # Named alike whatever the set calls it, so that two sets share it.
        recipe = {key: seen[key] for key in CALIBRATION} | {"teachers": {ONLY: teacher}}
        roles = {"student": "student", f"teacher.{ONLY}": f"teacher.{name}"}
        needs = {"split": split.name} | {
            role: models_by_role[of].name for role, of in roles.items() if of in models_by_role
        }
        converted = {role: conversions.get(of) for role, of in roles.items()}
        spec = find_store_spec(config["source"])
        if spec is not None and reads_answers(config):
            states = make_states_node(config, teacher, spec, needs)
            yield f"states.{name}", read_conversions(states, converted)
        if not matches_kv(config):
            continue
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
        calibration = make_artifact("calibration", recipe, needs, science)
        yield f"calibration.{name}", read_conversions(calibration, converted)
        if spec is not None:
            store = make_store_node(seen, teacher, spec, needs)
            yield f"kv.{name}", read_conversions(store, converted)


def make_conversion_node(node: Mapping[str, Any]) -> Node:
    """What a model's GGUF file is converted into, once, for all that read that model."""
    return make_artifact(CONVERSION, {"model": dict(node)}, {}, conversion_science(node))


def read_conversions(node: Node, conversions: Mapping[str, Node | None]) -> Node:
    """The node, after the conversions that it reads, by role; None for a model that has none.

    They name nothing: the file names it, and the job would read the same numbers from that.
    """
    needs = {role: each.name for role, each in conversions.items() if each is not None}
    return replace(node, needs={**node.needs, **needs})


def make_answers_node(
    config: Config, teacher: Mapping[str, Any], split: Node, model: Node | None
) -> Node:
    """One teacher's answers to the student half's questions; `model`: its own artefact, if built.

    Of the student they depend on nothing: the teacher reads the questions as its tokenizer does.
    """
    recipe = {
        "teachers": {ONLY: teacher},
        "style": config["style"],
        "decoding": read_decoding(config),
        "budget": {"num_gpus": config["budget"]["num_gpus"]},
        **select_attention(config),
    }
    needs = {"split": split.name} | ({f"teacher.{ONLY}": model.name} if model else {})
    science = {
        "version": ANSWERS_VERSION,
        "teacher": model_science(teacher),
        "style": leave_out_defaults(config["style"], "style."),
        "decoding": recipe["decoding"],
        **tokens_science([teacher]),
    }
    return make_artifact("answers", recipe, needs, science)


def find_store_spec(source: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What the source, or one that it wraps, wants stored; None where it reads no store."""
    if holds_store(source):
        spec: Mapping[str, Any] = source["stored"]
        return spec
    inner = [find_store_spec(node) for node in source.values() if isinstance(node, Mapping)]
    return next((spec for spec in inner if spec is not None), None)


def make_store_node(
    config: Config, teacher: Mapping[str, Any], spec: Mapping[str, Any], needs: Mapping[str, str]
) -> Node:
    """One teacher's K and V for every run that captures alike; named by no weight of the student.

    Of the student it depends on how it reads (it cuts the texts) and on its depth (it is mapped).
    Raises ConfigError for texts that are not stored: in another style, or with other answers.
    """
    check_stored_texts(config, spec)
    recipe = {key: config[key] for key in STORE} | {
        "teachers": {ONLY: teacher},
        "source": {"stored": spec},
        "budget": {key: config["budget"][key] for key in STORE_BUDGET if key in config["budget"]},
        **select_attention(config),
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
        "stored": leave_out_defaults(without(spec, {"states"}), "stored."),
        **tokens_science([config["student"], teacher]),
        **half_science([teacher]),
    }
    return replace(make_artifact("kv", recipe, needs_but_student, science), needs=needs)


def make_states_node(
    config: Config, teacher: Mapping[str, Any], spec: Mapping[str, Any], needs: Mapping[str, str]
) -> Node:
    """The last hidden states of one teacher's answers, for every run that compares distributions.

    A store of the same form as that of K and V, which depends on no layer and no compression.
    Raises ConfigError as `make_store_node` does.
    """
    check_stored_texts(config, spec)
    recipe = {
        "student": config["student"],
        "teachers": {ONLY: teacher},
        "source": {"stored": spec},
        "holds": STATES,
        "budget": {key: config["budget"][key] for key in STORE_BUDGET if key in config["budget"]},
        **select_attention(config),
    }
    needs_but_student = {role: name for role, name in needs.items() if role != "student"}
    science = {
        "version": CAPTURE_VERSION,
        "holds": STATES,
        "student": {"reads": tokenizer_science(config["student"])},
        "teacher": model_science(teacher),
        "seq_len": config["budget"]["seq_len"],
        "stored": leave_out_defaults(without(spec, {"dtype", "states"}), "stored."),
        "dtype": spec["states"],
        **tokens_science([config["student"], teacher]),
        **half_science([teacher]),
    }
    return replace(make_artifact("kv", recipe, needs_but_student, science), needs=needs)


def select_attention(config: Config) -> dict[str, Any]:
    """The attention kernel of a job that reads a teacher; nothing where it is left to the model.

    Execution, as in training: it stands in recipes and in no identity.
    """
    # A plan that was frozen before there was a choice has none.
    chosen = config["train"].get("attn_implementation")
    return {"train": {"attn_implementation": chosen}} if chosen else {}


def check_stored_texts(config: Config, spec: Any) -> None:
    """Raises ConfigError for texts that a store does not hold: of other answers or styles."""
    if list_answering_teachers(config):
        raise ConfigError(
            f"data.answers={config['data']['answers']} trains on texts that source=store has not "
            f"read: it holds what teachers made of texts with gold answers. Use source=online, or "
            f"data.answers=gold."
        )
    check_style(config["style"], spec.get("style") if isinstance(spec, Mapping) else None)


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


def make_validation_node(config: Config, split: Node, answers: Mapping[str, Node]) -> Node:
    """The check of the split against what runs are scored on, and calibrated on if trained.

    With it of the `answers` of teachers that are trained on, by role.
    """
    tasks_node = without(config["tasks"], {"backend"})  # whoever answers, the items are the same
    recipe = {
        "data": {key: config["data"][key] for key in ("split", "leakage")},
        "tasks": tasks_node,
        "style": config["style"] if config["trained"] else None,
        "calibration_rows": config["train"]["calibration_rows"] if config["trained"] else None,
    }
    science = recipe | {"tasks": tasks_science({"tasks": tasks_node})}
    needs = {"split": split.name} | {f"answers.{role}": node.name for role, node in answers.items()}
    return make_artifact("validation", recipe, needs, leave_out_defaults(science))


def list_models(config: Config) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(role, config node) of the student and each teacher."""
    yield "student", config["student"]
    for name, node in config["teachers"].items():
        yield f"teacher.{name}", drop_own_rooms(node)


def make_run_node(config: Config, artifacts: Sequence[tuple[str, Node]]) -> Node:
    """A run's node; `named` are the artefacts it reads, by role."""
    key = run_identity(config)
    name = f"seed{config['seed']}-{key}" if config["trained"] else f"untrained-{key}"
    frozen = without(config, {"cluster", "estimate", "code"})
    return Node("run", name, frozen, {role: node.name for role, node in artifacts})


def make_trial_node(config: Config, artifacts: Sequence[tuple[str, Node]]) -> Node:
    """A trial's node, which has no suite: `artifacts` are those that no suite was needed for."""
    # Task metrics on the way are made of written answers, and no rule of a choice reads them.
    config = {**config, "train": {**config["train"], "eval_tasks": 0}}
    frozen = without(config, {"cluster", "estimate", "code", "tasks"})
    needs = {role: node.name for role, node in artifacts}
    return Node(TRIAL, f"{TRIAL}{config['seed']}-{trial_identity(config)}", frozen, needs)
