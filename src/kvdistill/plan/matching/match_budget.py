"""budget.match={flops_of: ARM}: tokens that take what training another arm of the sweep takes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kvdistill.config import types
from kvdistill.config.compose import Config
from kvdistill.config.schema import read_group
from kvdistill.errors import ConfigError
from kvdistill.plan.budget import global_batch, unified_steps
from kvdistill.plan.matching.run_flops import count_step_flops, count_written_flops

FLOPS_OF = "flops_of"
TOTAL = "budget.total_tokens"


@dataclass(frozen=True)
class ArmConfig:
    """An arm of a question whose budget may be another arm's."""

    arm: str
    """Its label in the sweep's file, with its point of the axes; empty without a sweep."""
    point: str
    """What follows the file's own label: the values of the axes."""
    sets_tokens: bool
    """Whether the file itself gives its budget.total_tokens."""
    config: Config


def match_budgets(question: str, arms: Mapping[str, Sequence[ArmConfig]]) -> dict[str, str]:
    """Gives every arm with `budget.match` its tokens, in its configs; label -> the arm it matches.

    `arms` holds by label the configs of an arm, one a seed. Raises ConfigError for an arm that is
    none of the question, that trains nothing, that is matched in a circle, or whose answers take
    more to write than the other arm in all.
    """
    matched = {label: find_matched_arm(question, label, arms) for label in arms}
    chosen = {label: other for label, other in matched.items() if other is not None}
    for label in order_by_need(question, chosen):
        steps = count_matched_steps(arms[label][0].config, arms[chosen[label]][0].config)
        if steps < 1:
            raise ConfigError(
                f"{question}: {label} trains on answers whose writing alone takes more than "
                f"{chosen[label]}, whose FLOPs it is to take. Give it its own {TOTAL}, or raise "
                f"that of {chosen[label]}."
            )
        for each in arms[label]:
            budget = each.config["budget"]
            texts = global_batch(read_group("budget", budget))
            # As if typed by hand: the same science, whoever worked it out.
            each.config["budget"] = {
                **budget, "total_tokens": steps * texts * budget["seq_len"], "match": None,
            }  # fmt: skip
    return chosen


def find_matched_arm(
    question: str, label: str, arms: Mapping[str, Sequence[ArmConfig]]
) -> str | None:
    """The label whose FLOPs this arm is to take; None where its budget is its own."""
    own = arms[label][0]
    node = own.config["budget"].get("match")
    if node is None:
        return None
    name = node.get(FLOPS_OF) if isinstance(node, Mapping) and set(node) == {FLOPS_OF} else None
    where = f"{question}: {label}: budget.match={types.format_value(node)}"
    if not isinstance(name, str):
        raise ConfigError(f"{where} must be {{{FLOPS_OF}: ARM}}, ARM being a label of the sweep.")
    if not own.arm:
        raise ConfigError(
            f"{where} names an arm, and only a sweep has arms. Write both into a file of sweeps/."
        )
    if own.sets_tokens:
        raise ConfigError(
            f"{where} and {TOTAL} both say how much the arm trains. Drop one of them."
        )
    other = find_label(name, own, label, arms)
    if other is None:
        known = ", ".join(each for each in arms if each != label)
        raise ConfigError(f"{where} names no arm of the sweep. Choose one of {known}.")
    for each in (label, other):
        if not arms[each][0].config["trained"]:
            raise ConfigError(
                f"{where}: {each} trains nothing, so it has no FLOPs to match. Choose a "
                f"trained arm."
            )
    return other


def find_label(
    name: str, own: ArmConfig, label: str, arms: Mapping[str, Sequence[ArmConfig]]
) -> str | None:
    """The arm of that name: at the same point of the axes and of `-m`, or at the point it names."""
    moved = label.removeprefix(own.arm)  # what `-m` varies, alike for both
    return next(
        (each for each in (f"{name}{own.point}{moved}", f"{name}{moved}") if each in arms), None
    )


def order_by_need(question: str, chosen: Mapping[str, str]) -> list[str]:
    """Every arm after the one it matches. Raises ConfigError for a circle, naming it."""
    ordered: list[str] = []
    for label in chosen:
        chain = [label]
        while chain[-1] in chosen:
            if chosen[chain[-1]] in chain:
                names = " -> ".join([*chain, chosen[chain[-1]]])
                raise ConfigError(
                    f"{question}: budget.match goes in a circle: {names}. Give one of them its own "
                    f"{TOTAL}."
                )
            chain.append(chosen[chain[-1]])
        ordered += [each for each in reversed(chain[:-1]) if each not in ordered]
    return ordered


def count_matched_steps(config: Config, other: Config) -> int:
    """Steps whose operations come nearest to all of another config's.

    What teachers take to write the answers that are trained on counts on either side; 0 where that
    leaves nothing to train with, else at least one.
    """
    total = unified_steps(read_group("budget", other["budget"])) * count_step_flops(other)
    left = total + count_written_flops(other) - count_written_flops(config)
    return max(1, round(left / count_step_flops(config))) if left > 0 else 0
