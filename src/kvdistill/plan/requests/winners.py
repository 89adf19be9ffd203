"""What tuning chose for the arms of a command; and whether all arms of a comparison were tuned."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from kvdistill.config.compose import Config
from kvdistill.errors import ConfigError
from kvdistill.plan.labels.arm_labels import read_known_plan
from kvdistill.plan.requests.composer import Composer, name_study
from kvdistill.plan.requests.read_requests import Request
from kvdistill.plan.sweep import format_override


def apply_winners(requests: Sequence[Request], composer: Composer) -> list[Request]:
    """The requests with what tuning chose for their arms, as if the file said it.

    Until a study has chosen, other stages than `run` plan the arms as the file has them. Raises
    ConfigError where that one would confirm what nobody has chosen.
    """
    tuned = [request for request in requests if request.design is not None]
    if not tuned:
        return list(requests)
    config = composer(tuned[0].overrides, tuned[0].seed)
    known = read_known_plan(Path(config["root"]), name_study(config))
    applied = []
    for request in requests:
        tuning = known.tunings.get(request.question)
        arm = tuning.arms.get(request.label) if tuning is not None else None
        if request.design is not None and arm is not None and arm.chosen is not None:
            settings = [format_override(key, value) for key, value in arm.chosen.items()]
            request = replace(
                request,
                overrides=[*request.overrides, *settings], fixed=[*request.fixed, *settings],
            )  # fmt: skip
        elif is_to_be_confirmed(request, composer):
            raise ConfigError(
                f"{request.question}: {request.label} has no winner yet in study={known.study}. "
                f"Tune it first, with stage=tune."
            )
        applied.append(request)
    return applied


def is_to_be_confirmed(request: Request, composer: Composer) -> bool:
    """Whether this arm is tuned, and this command trains it."""
    if request.design is None or not request.design.includes(request.arm):
        return False
    config = composer(request.overrides, request.seed)
    return config["stage"] == "run" and bool(config["trained"])


def check_equal_tuning(requests: Sequence[Request], configs: Sequence[Config]) -> None:
    """Refuses a question that compares arms which are tuned with some that are not.

    `differs: [tuning]` in its file says that it knows.
    """
    tuned: dict[str, set[str]] = {}
    others: dict[str, set[str]] = {}
    for request, config in zip(requests, configs, strict=True):
        if request.design is not None and request.sweep is not None and config["trained"]:
            has_trials = request.design.includes(request.arm)
            if "tuning" not in request.sweep.judged.get("differs", ()):
                side = tuned if has_trials else others
                side.setdefault(request.question, set()).add(request.label)
    for question in [each for each in tuned if each in others]:
        names = ", ".join(sorted(others[question]))
        raise ConfigError(
            f"sweeps/{question}.yaml: tune.arms leaves {names} with no trial beside "
            f"{', '.join(sorted(tuned[question]))}. Every arm of a comparison gets equally many: "
            f"use tune.arms=all, or say that they differ with differs: [tuning]."
        )
