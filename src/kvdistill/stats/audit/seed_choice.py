"""Seeds that a study leaves out although they ran: picked from another study, or dropped."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from kvdistill.history import History
from kvdistill.stats.study import Study

PlannedSeeds = dict[str, dict[str, dict[int, int]]]
"""Study -> recipe -> seed -> index of the event that planned it first."""


@dataclass
class Choice:
    """What a study takes of a recipe that other studies of the root ran too."""

    labels: list[str] = field(default_factory=list)
    reused: tuple[int, ...] = ()
    left_out: tuple[int, ...] = ()
    studies: tuple[str, ...] = ()


def list_picked_seeds(study: Study) -> Iterator[str]:
    """A sentence for each recipe of which a study takes some of the seeds that others ran."""
    planned = collect_planned_seeds(study.history)
    failures = map_failed_seeds(study.history)
    for folder in study.folders:
        choices: dict[tuple[object, ...], Choice] = {}
        for recipe, seeds in planned.get(folder.name, {}).items():
            choice = find_choice(folder.name, recipe, seeds, planned)
            if choice.reused and choice.left_out:
                key = (choice.reused, choice.left_out, choice.studies)
                label = name_recipe(study, recipe)
                choices.setdefault(key, choice).labels.append(label)
        for choice in choices.values():
            yield describe_seed_choice(choice, failures)


def find_choice(name: str, recipe: str, seeds: Mapping[int, int], planned: PlannedSeeds) -> Choice:
    """Seeds taken over from other studies of the root, and those that they had and it has not."""
    others = {
        study: recipes[recipe]
        for study, recipes in planned.items()
        if study != name and recipe in recipes
    }
    last = max(seeds.values())
    earlier = {
        study: {seed for seed, index in ran.items() if index < last}
        for study, ran in others.items()
    }
    reused = {
        seed for seed, index in seeds.items() if any(ran.get(seed, index) < index
                                                      for ran in others.values())
    }  # fmt: skip
    left_out = set().union(*earlier.values()) - set(seeds)
    return Choice(
        reused=tuple(sorted(reused)),
        left_out=tuple(sorted(left_out)),
        studies=tuple(study for study, ran in earlier.items() if ran & (left_out | reused)),
    )


def describe_seed_choice(choice: Choice, failures: Mapping[int, str]) -> str:
    """Which seeds stand, and which ran under the root and do not."""
    reasons = [f"seed {seed} failed: {failures[seed]}" for seed in choice.left_out
               if seed in failures]  # fmt: skip
    return (
        f"{', '.join(choice.labels)}: of the seeds that ran in {', '.join(choice.studies)}, "
        f"{', '.join(map(str, choice.reused))} are taken and "
        f"{', '.join(map(str, choice.left_out))} left out"
        + (f" ({'; '.join(reasons)})" if reasons else "")
    )


def list_dropped_seeds(study: Study) -> Iterator[str]:
    """A sentence for each recorded arm some of whose seeds its plan has no more, unwithdrawn."""
    kept = set(study.runs) | list_withdrawn_runs(study.history)
    for folder in study.folders:
        dropped: dict[str, set[int]] = {}
        for event in study.history.select(folder.name, "planned"):
            for node in event.facts["questions"].values():
                for label, arm in node["arms"].items():
                    gone = {int(seed) for seed, run in arm["runs"].items() if run not in kept}
                    dropped.setdefault(label, set()).update(gone)
        for label, seeds in dropped.items():
            if seeds:
                names = ", ".join(map(str, sorted(seeds)))
                yield (
                    f"{label}: seeds {names} were planned and stand in the plan no more, "
                    "without a withdrawal"
                )


def collect_planned_seeds(history: History) -> PlannedSeeds:
    """The seeds of every trained recipe that commands of each study planned."""
    planned: PlannedSeeds = {}
    for event in history.events:
        if event.event == "planned":
            for node in event.facts["questions"].values():
                for arm in node["arms"].values():
                    if arm["trained"]:
                        recipes = planned.setdefault(event.study, {})
                        seeds = recipes.setdefault(arm["recipe"], {})
                        for seed in arm["runs"]:
                            seeds.setdefault(int(seed), event.index)
    return planned


def map_failed_seeds(history: History) -> dict[int, str]:
    """Seed -> why a run with it failed, of every failure in the record."""
    return {
        int(event.facts["seed"]): str(event.facts["why"])
        for event in history.events
        if event.event == "failed"
    }


def list_withdrawn_runs(history: History) -> set[str]:
    """Every run that a withdrawal of the record names."""
    runs: set[str] = set()
    for event in history.events:
        if event.event == "withdrawn":
            named = event.facts.get("runs") or {}
            runs |= set(named.values() if isinstance(named, Mapping) else named)
            runs |= {str(event.facts["run"])} if event.facts.get("run") else set()
    return runs


def name_recipe(study: Study, recipe: str) -> str:
    """A label under which the study has this recipe."""
    for question in study.questions.values():
        for label, arm in question.arms.items():
            if any(run.recipe == recipe for run in arm.runs.values()):
                return label
    return recipe
