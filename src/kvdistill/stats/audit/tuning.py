"""Settings of training that were tried within one way of training: how often each was tuned."""

from collections.abc import Iterator, Mapping
from typing import Any

from kvdistill.history import History
from kvdistill.plan.command_plan import Plan
from kvdistill.stats.study import Arm, Study

TUNED_GROUP = "train"
"""The group of the config whose settings every way of training has, and can be tuned in."""


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
    """Dotted name -> value of every plain setting of the tuned group."""
    settings: dict[str, Any] = {}

    def walk(prefix: str, node: Any) -> None:
        if isinstance(node, Mapping):
            for key, value in node.items():
                walk(f"{prefix}.{key}", value)
        elif node is None or isinstance(node, str | int | float | bool):
            settings[prefix] = node

    walk(TUNED_GROUP, config.get(TUNED_GROUP) or {})
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


def list_unequal_tuning(study: Study) -> Iterator[str]:
    """A sentence for each arm of which more, or fewer, variants were tried than of its baseline."""
    trials = count_trials(study.history)
    lines: dict[str, None] = {}
    for question in study.questions.values():
        baseline = name_arm(question.arms[question.baseline])
        for arm in map(name_arm, question.arms.values()):
            ours, theirs = trials.get(arm, 1), trials.get(baseline, 1)
            if arm and baseline and ours != theirs:
                word = "variant" if ours == 1 else "variants"
                lines[
                    f"settings of training were tried in {ours} {word} for {arm} under this root, "
                    f"and in {theirs} for its baseline {baseline}"
                ] = None
    yield from lines


def name_arm(arm: Arm) -> str:
    """What the config calls a trained arm; empty of one that is not trained."""
    return next((run.arm for run in arm.runs.values() if run.trained), "")
