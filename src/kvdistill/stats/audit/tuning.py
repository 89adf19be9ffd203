"""Settings of training that were tried within one way of training: how often each was tuned."""

from collections.abc import Iterator, Mapping
from typing import Any

from kvdistill.history import History
from kvdistill.plan.command_plan import Plan

TUNED_GROUPS = ("train", "loss")
"""Groups of the config whose settings are tuned, rather than what a study asks about."""


def list_trials(plan: Plan) -> Iterator[dict[str, Any]]:
    """For each question and arm whose recipes differ in settings of training: which, and how many.

    The facts of a `tuned` event: question, arm (as the config names it), varied (setting -> its
    values), trials (recipes that were tried), seeds.
    """
    for name, question in plan.questions.items():
        recipes: dict[str, dict[str, dict[str, Any]]] = {}
        seeds: dict[str, set[int]] = {}
        for identity in question.identities():
            run = plan.runs[identity]
            if run.config["trained"]:
                arm = str(run.config["arm"])
                settings = flatten_settings(run.config)
                recipes.setdefault(arm, {})[run.recipe] = settings
                seeds.setdefault(arm, set()).add(int(run.config["seed"]))
        for arm, settings_by_recipe in recipes.items():
            varied = find_varied_settings(list(settings_by_recipe.values()))
            if varied:
                trials = {tuple(str(one.get(key)) for key in varied) for one in
                          settings_by_recipe.values()}  # fmt: skip
                yield {
                    "question": name, "arm": arm, "varied": varied, "trials": len(trials),
                    "seeds": sorted(seeds[arm]),
                }  # fmt: skip


def flatten_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted name -> value of every plain setting of the tuned groups."""
    settings: dict[str, Any] = {}

    def walk(prefix: str, node: Any) -> None:
        if isinstance(node, Mapping):
            for key, value in node.items():
                walk(f"{prefix}.{key}", value)
        elif node is None or isinstance(node, str | int | float | bool):
            settings[prefix] = node

    for group in TUNED_GROUPS:
        walk(group, config.get(group) or {})
    return settings


def find_varied_settings(recipes: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """Setting -> its values, of those that are not the same in all recipes."""
    keys = dict.fromkeys(key for recipe in recipes for key in recipe)
    values = {key: list(dict.fromkeys(recipe.get(key) for recipe in recipes)) for key in keys}
    return {key: each for key, each in values.items() if len(each) > 1}


def count_trials(history: History) -> dict[str, int]:
    """Arm, as the config names it -> how many variants of its training the record says were tried.

    The same trial in two studies counts twice: both were looked at.
    """
    trials: dict[str, int] = {}
    for event in history.events:
        if event.event == "tuned":
            arm = str(event.facts["arm"])
            trials[arm] = trials.get(arm, 0) + int(event.facts["trials"])
    return trials
