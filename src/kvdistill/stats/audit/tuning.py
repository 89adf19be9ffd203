"""Settings of training that were tried within one way of training: how often each was tuned."""

import json
from collections.abc import Container, Iterator, Mapping
from typing import Any

from kvdistill.history import History
from kvdistill.plan.command_plan import Plan
from kvdistill.plan.tuning.record import Tuning
from kvdistill.stats.study import Arm, Study

TUNED_GROUP = "train"
"""The group of the config whose settings every way of training has, and can be tuned in."""


def list_trials(plan: Plan, tuned: Container[str] = ()) -> Iterator[dict[str, Any]]:
    """For each question and arm whose recipes differ in settings of training: which, and how many.

    The facts of a `tuned` event: question, arm (as the config names it), varied (setting -> its
    values), trials (recipes that were tried), seeds. Of questions whose trials were `tuned` by a
    plan, and are on record, none: two winners of one arm differ, and none was tried here.
    """
    for name, question in plan.questions.items():
        if name in tuned:
            continue
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


def list_tuned_arms(tunings: Mapping[str, Tuning]) -> Iterator[dict[str, Any]]:
    """The facts of a `tuned` event of each arm whose trials a plan has: the same, and each trial.

    `label` tells them from those of `list_trials`; `tried` has settings and runs of every trial.
    """
    for name, tuning in tunings.items():
        for label, arm in tuning.arms.items():
            settings = [trial.settings for trial in arm.trials]
            facts = {
                "question": name, "label": label, "arm": arm.arm,
                "varied": find_varied_settings(settings), "trials": len(arm.trials),
                "seeds": tuning.design["seeds"], "measure": tuning.design["measure"],
                "tried": [{"settings": t.settings, "runs": t.runs} for t in arm.trials],
            }  # fmt: skip
            as_read: dict[str, Any] = json.loads(json.dumps(facts))
            yield as_read


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

    What a command varied counts again in another study, as both were looked at. A trial of a
    tuning is one run, and counts once, whichever studies ask for it.
    """
    trials = count_varied(history)
    tuned: dict[str, set[str]] = {}
    for event in history.events:
        if event.event == "tuned" and "tried" in event.facts:
            points = {next(iter(each["runs"].values())) for each in event.facts["tried"]}
            tuned.setdefault(str(event.facts["arm"]), set()).update(points)
    return trials | {arm: trials.get(arm, 0) + len(points) for arm, points in tuned.items()}


def count_varied(history: History) -> dict[str, int]:
    """The same of what commands varied in runs that were scored: tuned by hand."""
    trials: dict[str, int] = {}
    for event in history.events:
        if event.event == "tuned" and "tried" not in event.facts:
            arm = str(event.facts["arm"])
            trials[arm] = trials.get(arm, 0) + int(event.facts["trials"])
    return trials


def list_unequal_tuning(study: Study) -> Iterator[str]:
    """A sentence for each arm of which more, or fewer, variants were tried than of its baseline."""
    trials = count_trials(study.history)
    lines: dict[str, None] = {}
    for question in study.questions.values():
        first = question.arms[question.baseline]
        for each in question.arms.values():
            arm, baseline = name_arm(each), name_arm(first)
            ours, theirs = trials.get(arm, 1), trials.get(baseline, 1)
            if question.tuning is not None:  # two labels may be one arm, each with its own trials
                ours, theirs = each.trials, first.trials
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
