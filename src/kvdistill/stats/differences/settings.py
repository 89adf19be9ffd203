"""What two frozen configs set otherwise, and what of it a sweep's arms and axes declare."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kvdistill.config.compose import Config
from kvdistill.config.schema import lookup_path
from kvdistill.plan.identity import ROOMS, science_of
from kvdistill.plan.labels.recipe_difference import (
    FOLLOWS,
    describe_value,
    flatten_config,
    is_within,
    list_differing_paths,
)
from kvdistill.plan.teaching.answers import ANSWER_SETTINGS, list_answering_teachers
from kvdistill.stats.differences.base import ANYTHING, ArmDifference, covers_field

TEACHER_ROOMS = (
    *(room for room in ROOMS if room not in ("style", "adapter", "loss")),
    "loss.distance", "loss.balance", "loss.tokens", "loss.kv_weight", "loss.entropy_weight",
    "logits",
)  # fmt: skip
"""What acts on what teachers give alone: without a teacher its settings say nothing."""
HOW_ANSWERED = ANSWER_SETTINGS - {"answers"}
"""Of `data`, what says nothing where answers are gold."""
UNTRAINED = ("student", "tasks")
"""What of a config matters where nothing is trained."""
UNCOMPARED = (*FOLLOWS, "trained")
SAME_BATCH = {
    f"budget.{key}": "budget.global_batch" for key in ("batch_size", "num_gpus", "grad_accum")
}
"""Settings -> what of the science they make."""


def compare_settings(
    baseline: Config, arm: Config, declared: Sequence[str]
) -> Iterator[ArmDifference]:
    """Every setting of the science on which two configs disagree, groups of choices as one.

    `declared` are dotted paths: those of values, and those of groups, which stand for as much as
    the two took other choices there.
    """
    configs = (baseline, arm)
    names = [str(config["arm"]) for config in configs]
    if baseline["trained"] != arm["trained"]:
        words = ["trained" if config["trained"] else "not trained" for config in configs]
        yield ArmDifference(
            field="arm", values=(f"{names[0]}, {words[0]}", f"{names[1]}, {words[1]}"),
            declared=covers_field(declared, "trained"),
        )  # fmt: skip
    sides = [list_science(config) for config in configs]
    paths = [
        path
        for path in list_differing_paths(*sides)
        if matters(path, *configs) and not is_alike_in_both(path, configs)
    ]
    groups: dict[str, list[str]] = {}
    for path in paths:
        groups.setdefault(find_group(path, configs), []).append(path)
    for group, inside in groups.items():
        yield from compare_group(group, inside, configs, sides, declared)


def list_science(config: Config) -> dict[str, Any]:
    """Dotted path -> value of what can change a result, teachers under their roles."""
    science = {k: v for k, v in science_of(config).items() if k not in UNCOMPARED}
    if "teachers" in science:
        # By role, as a command line names them; identities have them by order.
        roles = config["teachers"]
        science["teachers"] = dict(zip(roles, science["teachers"], strict=True))
    return flatten_config(science)


def matters(path: str, *configs: Config) -> bool:
    """Whether a setting can have changed a result of both."""
    if not all(config["trained"] for config in configs):
        return path.split(".")[0] in UNTRAINED
    if not all(list_answering_teachers(config) for config in configs) and any(
        is_within(path, f"data.{each}") for each in HOW_ANSWERED
    ):
        return False
    teachers = all(config["teachers"] for config in configs)
    return teachers or not any(is_within(path, room) for room in TEACHER_ROOMS)


def is_alike_in_both(path: str, configs: Sequence[Config]) -> bool:
    """Whether two configs set something alike that one of them has no use for.

    Its science leaves it out then; what makes it useless is a difference of its own.
    """
    try:
        values = [lookup_path(config, path) for config in configs]
    except (KeyError, TypeError):
        return False
    return bool(values[0] == values[1])


def find_group(path: str, configs: Sequence[Config]) -> str:
    """The innermost group of choices, as `layers.map`, that a path lies in; else its first part."""
    groups = {name.replace("/", ".") for config in configs for name in config["choices"]}
    above = [group for group in groups if is_within(path, group)]
    return max(above, key=len, default=path.split(".")[0])


def compare_group(
    group: str,
    paths: Sequence[str],
    configs: Sequence[Config],
    sides: Sequence[Mapping[str, Any]],
    declared: Sequence[str],
) -> Iterator[ArmDifference]:
    """A group as one difference where its choices differ; and its values that are set by hand."""
    if group == "teachers":
        yield from compare_teachers(paths, configs, sides, declared)
        return
    choices = [read_choice(config, group) for config in configs]
    if group == "student":  # a teacher evaluated as it is stands in the student's place
        choices = [str(config["student"]["name"]) for config in configs]
    by_hand = [path for path in paths if is_set_by_hand(path, configs, declared)]
    rest = [path for path in paths if path not in by_hand]
    if choices[0] != choices[1] and rest:
        yield ArmDifference(
            field=group, values=(choices[0], choices[1]), declared=covers_field(declared, group)
        )
        rest = []
    for path in (*by_hand, *rest):
        values = [describe_value(path, *pair) for pair in zip(sides, configs, strict=True)]
        yield ArmDifference(
            field=path, values=(values[0], values[1]),
            declared=path in by_hand or ANYTHING in declared,
        )  # fmt: skip


def is_set_by_hand(path: str, configs: Sequence[Config], declared: Sequence[str]) -> bool:
    """Whether a declared path that is no group's covers this one."""
    groups = {name.replace("/", ".") for config in configs for name in config["choices"]}
    paths = [SAME_BATCH.get(each, each) for each in declared if each not in groups]
    return any(is_within(path, each) for each in paths)


def read_choice(config: Config, group: str) -> str:
    """What a config took of a group given as `layers.map`."""
    named = {name.replace("/", "."): choice for name, choice in config["choices"].items()}
    return str(named.get(group, "none"))


def compare_teachers(
    paths: Sequence[str],
    configs: Sequence[Config],
    sides: Sequence[Mapping[str, Any]],
    declared: Sequence[str],
) -> Iterator[ArmDifference]:
    """The teachers by name, and what changes with them; one that is only set otherwise by path."""
    names = [[str(node["name"]) for node in config["teachers"].values()] for config in configs]
    if names[0] != names[1]:
        texts = [" + ".join(each) or "none" for each in names]
        yield ArmDifference(
            field="teachers", values=(texts[0], texts[1]), note=describe_sets(*names),
            declared=any(is_within(each, "teachers") for each in declared) or ANYTHING in declared,
        )  # fmt: skip
        return
    for path in paths:
        values = [describe_value(path, *pair) for pair in zip(sides, configs, strict=True)]
        yield ArmDifference(
            field=path, values=(values[0], values[1]), declared=covers_by_hand(declared, path)
        )


def covers_by_hand(declared: Sequence[str], path: str) -> bool:
    """Whether a value of one teacher is declared, and not only which teachers there are."""
    return covers_field([each for each in declared if each != "teachers"], path)


def describe_sets(baseline: Sequence[str], arm: Sequence[str]) -> str:
    """Whether two sets of teachers differ in number, in who they are, or in both at once."""
    number, identity = len(baseline) != len(arm), set(baseline) != set(arm)
    if not baseline or not arm:
        return ""
    if number and identity:
        return "number and identity change together"
    return "the number changes" if number else "other teachers, as many"
