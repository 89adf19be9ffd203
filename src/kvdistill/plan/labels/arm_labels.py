"""A label holds one recipe: the labels of a study's arms, those on disk and those being planned.

Runs under one label of a question are replicates, and are averaged. So a label that a sweep's file
gives is refused for another recipe; one that a command line gets by itself says what differs. A
label under which all attempts failed has no scores to average, so another recipe may take it.
"""

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

from kvdistill import layout
from kvdistill.config.compose import Config
from kvdistill.errors import ArtifactError, ConfigError
from kvdistill.plan.frozen_recipe import read_recipe
from kvdistill.plan.labels.recipe_difference import (
    compare_recipes,
    describe_differences,
)
from kvdistill.plan.study_plan import StudyPlan
from kvdistill.plan.sweep import format_override
from kvdistill.status import read_status

FOREIGN = (KeyError, TypeError, ValueError, AttributeError)
"""What comparing raises where a frozen config is not of this version's form."""
REFERENCES = ""
"""In the place of a question: the names of teachers that are evaluated as they are."""


class ArmLabels:
    """Which recipe stands under each label of each question of a study.

    Args:
        root: holds artifacts/ and runs/.
        known: the study as it lies on disk. Raises ConfigError for a label of several recipes.
    """

    def __init__(self, root: Path, known: StudyPlan) -> None:
        self.root, self.known = root, known
        self.configs: dict[str, Config] = {}
        """identity -> config, of the runs that were placed here."""
        self.replaced: list[tuple[str, str]] = []
        """(question, label) of failed attempts whose label another recipe has taken here."""
        self.arms: dict[str, dict[str, tuple[str, str]]] = {}
        """question -> label -> its recipe, and the identity of a run of it."""
        for question, label, recipes in list_recipes(known):
            if len(recipes) > 1:
                raise ConfigError(self.describe_mixture(question, label, recipes))
            self.arms.setdefault(question, {})[label] = next(iter(recipes.items()))
        self.arms[REFERENCES] = {
            name: (known.runs[identity].recipe, identity)
            for name, identity in known.references.items()
            if identity in known.runs
        }

    def hold_label(
        self, question: str, label: str, recipe: str, identity: str, config: Config
    ) -> str:
        """Puts a run under this label and returns it. Raises ConfigError for another recipe."""
        arms = self.arms.setdefault(question, {})
        known_recipe, known_run = arms.setdefault(label, (recipe, identity))
        if known_recipe != recipe:
            if not self.holds_failures_alone(question, label):
                raise ConfigError(self.describe_conflict(question, label, known_run, config))
            self.replaced.append((question, label))
            arms[label] = (recipe, identity)
        self.configs[identity] = config
        return label

    def choose_label(
        self, question: str, base: str, recipe: str, identity: str, config: Config
    ) -> str:
        """The label of a run whose label no file gives: `base`, or it and what differs.

        A recipe that the question already has under this base keeps its label.
        """
        arms = self.arms.setdefault(question, {})
        family = [label for label in arms if label == base or label.startswith(f"{base} (")]
        label = next((each for each in family if arms[each][0] == recipe), base)
        words: list[str] = []
        while arms.get(label, (recipe, ""))[0] != recipe and not self.holds_failures_alone(
            question, label
        ):
            new_words = [
                word for word in self.list_words(arms[label][1], config) if word not in words
            ]
            # Nothing that can be named is left: the hash at least is another.
            words += new_words or [f"recipe {recipe}"]
            label = f"{base} ({' '.join(words)})"
        return self.hold_label(question, label, recipe, identity, config)

    def holds_failures_alone(self, question: str, label: str) -> bool:
        """Whether every run of a label on disk has failed, and none is planned again here."""
        on_disk = self.known.questions.get(question)
        runs = set(on_disk.arms.get(label, {}).values()) if on_disk else set()
        return bool(runs) and not any(
            identity in self.configs
            or identity not in self.known.runs
            or not is_failed(self.root / self.known.runs[identity].folder)
            for identity in runs
        )

    def list_words(self, other: str, config: Config) -> list[str]:
        """`fusion=learnable`, `train.lr=0.5`: what sets a config apart from a run of the study."""
        there = self.read_config(other)
        try:
            differences = [] if there is None else compare_recipes(there, config)
        except FOREIGN:
            return []
        return [f"{one.path}={one.new}" for one in differences]

    def read_config(self, identity: str) -> Config | None:
        """The config of a run of the study; None where its folder is gone or spoilt."""
        if identity in self.configs:
            return self.configs[identity]
        try:
            return dict(read_recipe(self.root / self.known.runs[identity].folder).recipe)
        except (ArtifactError, KeyError):
            return None

    def describe_conflict(self, question: str, label: str, known_run: str, config: Config) -> str:
        """Why a run may not stand under a label, what differs, and the ways out."""
        differences = describe_pair(self.read_config(known_run), config)
        on_disk = self.known.questions.get(question)
        seeds = ", ".join(on_disk.arms.get(label, {})) if on_disk else ""
        if not seeds:
            return (
                f"label {label} of question {question} would hold two recipes in this command: "
                f"{differences}. One label holds one recipe: give each arm a label of its own."
            )
        return (
            f"label {label} of question {question} holds another recipe in study="
            f"{self.known.study} (seed {seeds}): {differences}. One label holds one recipe: give "
            f"the arm another label, take another study=NAME, or withdraw the old arm by "
            f"{self.format_withdrawal('label', label)}."
        )

    def describe_mixture(self, question: str, label: str, recipes: Mapping[str, str]) -> str:
        """What is wrong with a label of a plan that was made before labels were kept apart."""
        first, *others = recipes.values()
        differences = describe_pair(self.read_config(first), self.read_config(others[0]))
        return (
            f"study={self.known.study}: label {label} of question {question} holds runs of "
            f"{len(recipes)} recipes, which are no replicates of each other. Between {first} "
            f"and {others[0]}: {differences}. Withdraw those that do not belong, each by "
            f"{self.format_withdrawal('run', others[0])}."
        )

    def format_withdrawal(self, key: str, value: str) -> str:
        """The command that withdraws it, as a shell takes it."""
        words = [f"study={self.known.study}", format_override(key, value), "reason=WHY"]
        return shlex.join(["python", "launch.py", "stage=withdraw", *words])


def is_failed(folder: Path) -> bool:
    """Whether the last attempt at a run failed: it has no scores, and nobody is at work on it."""
    try:
        return bool(read_status(folder)["state"] == "failed")
    except ArtifactError:
        return False


def describe_pair(there: Config | None, here: Config | None) -> str:
    """What sets two configs apart, or why that cannot be said."""
    try:
        if there is not None and here is not None:
            return describe_differences(compare_recipes(there, here))
    except FOREIGN:
        pass
    return f"the {layout.CONFIG} of one cannot be read, so what differs is unknown"


def list_recipes(plan: StudyPlan) -> Iterator[tuple[str, str, dict[str, str]]]:
    """(question, label, recipe -> identity of its first run) of every arm of a plan."""
    for name, question in plan.questions.items():
        for label, seeds in question.arms.items():
            recipes: dict[str, str] = {}
            for identity in seeds.values():
                if identity in plan.runs:
                    recipes.setdefault(plan.runs[identity].recipe, identity)
            if recipes:
                yield name, label, recipes


def read_known_plan(root: Path, study: str) -> StudyPlan:
    """The study's plan.json, or an empty plan where there is none yet."""
    folder = layout.study_folder(root, study)
    return StudyPlan.read(folder) if (folder / layout.PLAN).exists() else StudyPlan(study)
