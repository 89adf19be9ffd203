"""The names that claims use, checked when a study is planned: a slip would never be judged.

A claim about an arm, a task or a measure that nobody has ends as "pending", and mending it once
runs have trained makes it post hoc. So what no run of the plan can ever have is refused with the
nearest name; what exists and only this command does not score is said (`list_unjudged`).
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from kvdistill.config.types import suggest_key
from kvdistill.errors import ConfigError
from kvdistill.evaluate.suite import list_own_tasks
from kvdistill.plan.command_plan import Plan
from kvdistill.records import EFFICIENCY_KEYS
from kvdistill.stats.claims.known_names import KnownNames
from kvdistill.stats.hypotheses import (
    CURVE_COLUMNS,
    EFFICIENCY_PREFIX,
    KV_COLUMNS,
    PAIR_MEASURES,
    ROUTING,
    Claim,
    parse_claim,
)
from kvdistill.stats.study import MACRO

FIGURE_KINDS = ("heatmap", "spread", "efficiency", "kv_loss")
"""What a sweep's `figure` may be: the figures of an ablation."""
PRIMARY_KEYS = ("arm", "baseline")
TEACHER = "teacher "
STUDY_CLAIMS = "stats"
"""Where the claims stand that belong to no question."""


def check_claim_names(plan: Plan) -> None:
    """Raises ConfigError for a name in a claim, a primary or a figure that nothing can have."""
    if not plan.runs:
        return
    known = KnownNames.of_plan(plan)
    for where, node in walk_judging(plan):
        for key in ("hypotheses", "criteria"):
            for place, one in enumerate(node.get(key) or ()):
                claim, path = parse_claim(one, f"{where}: {key}"), f"{where}: {key}[{place}]"
                check_claim(claim, known, path)
                if where == STUDY_CLAIMS:
                    check_unambiguous(claim, known, path)
    for name, question in plan.questions.items():
        check_primary(question.judging.get("primary"), question.arms, f"sweeps/{name}.yaml")
        check_figure(question.judging.get("figure"), f"sweeps/{name}.yaml")


def walk_judging(plan: Plan) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(where it stands, what is claimed there) of the stats group and of every question."""
    yield STUDY_CLAIMS, plan.config["stats"]
    for name, question in plan.questions.items():
        yield f"sweeps/{name}.yaml", question.judging


def check_claim(claim: Claim, known: KnownNames, where: str) -> None:
    """Raises ConfigError where the claim names an arm or measure that no run can have."""
    for side in ("arm", "baseline"):
        label = getattr(claim, side)
        if label is not None:
            check_arm(label, known, f"{where}.{side}")
    if claim.arm == claim.baseline:
        raise ConfigError(
            f"{where}.baseline={claim.arm} is the arm itself. Name what it is compared with."
        )
    check_measure(claim, known, f"{where}.measure")


def check_unambiguous(claim: Claim, known: KnownNames, where: str) -> None:
    """Raises ConfigError where a claim of no question names an arm that questions do not share."""
    for side in ("arm", "baseline"):
        if holders := known.ambiguous.get(getattr(claim, side) or ""):
            raise ConfigError(
                f"{where}.{side}={getattr(claim, side)} is another arm in each of the questions "
                f"{', '.join(holders)}. Write the claim into the `hypotheses` of the one it is "
                f"about, in sweeps/."
            )


def check_arm(label: str, known: KnownNames, where: str) -> None:
    """Raises ConfigError for a label that is no arm of the study and no teacher of the plan."""
    teachers = [f"{TEACHER}{name}" for name in known.teachers]
    if label not in known.arms and label not in teachers:
        raise ConfigError(
            f"{where}={label} is no arm of this study.{suggest(label, [*known.arms, *teachers])}"
        )


def check_measure(claim: Claim, known: KnownNames, where: str) -> None:
    """Raises ConfigError for a measure that nobody knows, or that these arms cannot have."""
    name, own_tasks = claim.measure, list_own_tasks()
    is_task = name == MACRO or name in known.suite.tasks
    if name in known.suite.beside:
        raise ConfigError(
            f"{where}={name} is scored outside the macro average (tasks.beside), where nothing is "
            f"judged. Name one of {', '.join([MACRO, *known.suite.tasks])}."
        )
    if is_task or name in own_tasks:
        return
    if name.startswith(EFFICIENCY_PREFIX):
        keys = [f"{EFFICIENCY_PREFIX}{key}" for key in EFFICIENCY_KEYS]
        if name not in keys:
            raise ConfigError(f"{where}={name} is measured of no run.{suggest(name, keys)}")
    elif name not in (*PAIR_MEASURES, ROUTING):
        names = [MACRO, *known.suite.tasks, *PAIR_MEASURES, ROUTING, *own_tasks]
        raise ConfigError(f"{where}={name} is no task and no measure.{suggest(name, names)}")
    check_sides(claim, known, where)


def check_sides(claim: Claim, known: KnownNames, where: str) -> None:
    """Raises ConfigError where an arm of the plan can never have what is measured."""
    if claim.baseline is None and claim.measure != ROUTING:
        raise ConfigError(f"{where}={claim.measure} compares two arms. Give the claim a baseline.")
    for label in (claim.arm, claim.baseline):
        config = known.arms.get(label) if label else None
        if config is None:
            continue
        teachers = len(config["teachers"])
        if claim.measure in CURVE_COLUMNS and not config["trained"]:
            raise ConfigError(f"{where}={claim.measure}: {label} is not trained, so it has none.")
        if claim.measure in KV_COLUMNS and not teachers:
            raise ConfigError(
                f"{where}={claim.measure}: {label} reads no teacher, so it has no KV loss. "
                f"Compare ce, or arms that both have a teacher."
            )


def check_primary(node: Any, arms: Collection[str], where: str) -> None:
    """Raises ConfigError for a primary endpoint that is not two arms of its question."""
    if node is None:
        return
    if not isinstance(node, Mapping) or not set(node) <= set(PRIMARY_KEYS):
        raise ConfigError(f"{where}: primary={node} must map {' and '.join(PRIMARY_KEYS)}.")
    for side, label in node.items():
        if label not in arms:
            raise ConfigError(
                f"{where}: primary.{side}={label} is no arm of this question."
                f"{suggest(str(label), list(arms))}"
            )


def check_figure(kind: Any, where: str) -> None:
    """Raises ConfigError for a figure that the report does not draw."""
    if kind is not None and kind not in FIGURE_KINDS:
        raise ConfigError(f"{where}: figure={kind} is none.{suggest(str(kind), FIGURE_KINDS)}")


def suggest(name: str, known: Sequence[str]) -> str:
    """The way out of a misspelt name, as the end of an error."""
    return suggest_key("", name, known, f" Choose one of {', '.join(known)}.")


def list_unjudged(plan: Plan) -> list[str]:
    """A sentence for each claim that is sound, and that this command's runs will not decide."""
    known = KnownNames.of_plan(plan)
    sentences = []
    for where, node in walk_judging(plan):
        for one in (*(node.get("hypotheses") or ()), *(node.get("criteria") or ())):
            claim = parse_claim(one, where)
            if claim.measure in list_own_tasks() and claim.measure not in known.suite.tasks:
                sentences.append(
                    f"{where}: {claim.name} stays pending: tasks={known.suite.name} does not "
                    f"score {claim.measure}."
                )
            config = known.arms.get(claim.arm)
            # A set of teachers may have several members at one scale, and one at another.
            if claim.measure == ROUTING and config is not None and len(config["teachers"]) < 2:
                sentences.append(
                    f"{where}: {claim.name} stays pending: {claim.arm} reads one teacher here, "
                    f"and weights are divided among two or more."
                )
            sentences += [
                f"{where}: {claim.name} stays pending: {label} is not evaluated. Use "
                f"references=true."
                for label in (claim.arm, claim.baseline)
                if label
                and label not in known.arms
                and label.removeprefix(TEACHER) not in plan.references
            ]
    return list(dict.fromkeys(sentences))
