"""A tuning holds one set of trials: whoever planned others tries more than the record would say."""

from collections.abc import Mapping

from kvdistill.errors import ConfigError
from kvdistill.plan.tuning.draw import describe_point
from kvdistill.plan.tuning.record import TunedArm, Tuning

WAY_OUT = "Undo the edit, or take another study=NAME, whose trials then stand in the record too."


def merge_tunings(known: Mapping[str, Tuning], new: Mapping[str, Tuning]) -> dict[str, Tuning]:
    """What a study has, with what a command asks; arms that are new join their question.

    Raises ConfigError, naming question and arm, for other trials than those that were planned.
    """
    merged = dict(known)
    for question, tuning in new.items():
        old = merged.get(question)
        merged[question] = tuning if old is None else merge_tuning(question, old, tuning)
    return merged


def merge_tuning(question: str, known: Tuning, new: Tuning) -> Tuning:
    """The same of one question; a choice that was made stays."""
    for key, value in known.design.items():
        if new.design.get(key) != value:
            raise ConfigError(
                f"tuning of {question}: tune.{key} was {value} when its trials were planned and is "
                f"{new.design.get(key)} now. {WAY_OUT}"
            )
    arms = dict(known.arms)
    for label, arm in new.arms.items():
        old = arms.get(label)
        if old is not None and old.without_choice().trials != arm.trials:
            raise ConfigError(
                f"tuning of {question}: {label} was planned with other trials: "
                f"{describe_other_trials(old, arm)}. {WAY_OUT}"
            )
        arms[label] = arm if old is None else old
    return Tuning(known.design, known.rule, arms)


def describe_other_trials(old: TunedArm, new: TunedArm) -> str:
    """The first trial that is another one now, or why it is one although its settings are not."""
    for number, (before, now) in enumerate(zip(old.trials, new.trials, strict=False), start=1):
        if before.settings != now.settings:
            points = (describe_point(each.settings) for each in (before, now))
            return f"trial {number} was {' and is '.join(points)} now"
    if len(old.trials) != len(new.trials):
        return f"{len(old.trials)} there and {len(new.trials)} here"
    return "the settings that its trials have in common are others now"
