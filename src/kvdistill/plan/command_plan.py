"""Everything that one command asks for: questions, runs, and what they share. Nothing written."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from kvdistill.config.compose import Config
from kvdistill.config.schema import read_group
from kvdistill.layers.teacher_rooms import drop_own_rooms
from kvdistill.plan.budget import unified_steps
from kvdistill.plan.code.fingerprint import CodeFingerprint
from kvdistill.plan.graph import TRIAL, Node, list_artifacts, make_run_node, make_trial_node
from kvdistill.plan.hub import Repo
from kvdistill.plan.identity import recipe_identity, run_identity, trial_recipe
from kvdistill.plan.labels.arm_labels import REFERENCES, ArmLabels, read_known_plan
from kvdistill.plan.resources.placement import (
    AUTO,
    decide_reading_placements,
    decide_run_placements,
    place_model,
)
from kvdistill.plan.study_plan import Question
from kvdistill.plan.tuning.record import Tuning


@dataclass(frozen=True)
class PlannedRun:
    """One run of the plan, before anything is written."""

    node: Node
    config: Config
    recipe: str
    steps: int
    """Unified optimiser steps; 0 where nothing is trained."""
    resources: Mapping[str, Any] = field(default_factory=dict)
    """What its arm asks of SLURM beyond the cluster's settings."""

    @property
    def identity(self) -> str:
        """The hash in the run's folder name."""
        return self.node.name.rpartition("-")[2]


@dataclass
class Plan:
    """Everything one command asks for."""

    root: Path
    study: str
    runs: dict[str, PlannedRun] = field(default_factory=dict)
    """By identity; two labels with the same science are one run."""
    artifacts: dict[str, Node] = field(default_factory=dict)
    """By name, each after what it needs."""
    artifacts_by_recipe: dict[str, list[tuple[str, Node]]] = field(default_factory=dict)
    """The artefacts that runs of a recipe read, with their roles."""
    questions: dict[str, Question] = field(default_factory=dict)
    references: dict[str, str] = field(default_factory=dict)
    """Teacher name -> identity of the run that evaluates it as it is."""
    tunings: dict[str, Tuning] = field(default_factory=dict)
    """By question, of a plan whose runs are the trials of these."""
    config: Config = field(default_factory=dict)
    """The first run's config: where execution settings are read from."""
    command: str = ""
    """As it was typed, for whoever wants the same again; empty where nothing was."""
    commits: dict[Repo, str] = field(default_factory=dict)
    """What each branch of the hub named when the plan was made."""
    unresolved: dict[str, str] = field(default_factory=dict)
    """Hub repository at a branch -> why it has no commit yet; only in a plan that computes nothing.
    """
    code: dict[str, CodeFingerprint] = field(default_factory=dict)
    """Name of each node -> the code that would make it now; filled by the check of the code."""
    remade: set[str] = field(default_factory=set)
    """Names of what is finished but done anew, as other code made it (`code=rerun`)."""
    accepted_code: list[dict[str, Any]] = field(default_factory=list)
    """What this command accepts, as plan/code/accepted.py reads it."""
    labels: ArmLabels = field(init=False)
    """What stands under each label, in the study on disk and in this plan."""

    def __post_init__(self) -> None:
        self.labels = ArmLabels(self.root, read_known_plan(self.root, self.study))

    def add(
        self, config: Config, resources: Mapping[str, Any] | None = None, *, trial: bool = False
    ) -> PlannedRun:
        """Takes a resolved, pinned config into the plan; one of the same identity stays.

        A `trial` is trained and validated, and needs and asks nothing of the suite.
        """
        recipe = trial_recipe(config) if trial else recipe_identity(config)
        usable_bytes = read_group("estimate", config["estimate"]).usable_bytes
        artifacts = self.gather_artifacts(config, recipe, trial=trial)
        steps = unified_steps(read_group("budget", config["budget"])) if config["trained"] else 0
        config = decide_run_placements(config, usable_bytes)
        node = make_trial_node(config, artifacts) if trial else make_run_node(config, artifacts)
        run = PlannedRun(node, config, recipe, steps, resources or {})
        return self.runs.setdefault(run.identity, run)

    def change_reading(self, run: PlannedRun, config: Config) -> None:
        """Gives a run of the plan another config of the same science, with what that one reads."""
        trial = run.node.kind == TRIAL
        recipe = f"{run.recipe} {config['source']}"  # else both would be given what one reads
        artifacts = self.gather_artifacts(config, recipe, trial=trial)
        node = make_trial_node(config, artifacts) if trial else make_run_node(config, artifacts)
        self.runs[run.identity] = replace(run, node=node, config=config)

    def gather_artifacts(
        self, config: Config, recipe: str, *, trial: bool
    ) -> list[tuple[str, Node]]:
        """What a run of a recipe reads, with its roles, taken into the plan."""
        artifacts = self.artifacts_by_recipe.setdefault(recipe, [])
        if not artifacts:  # else replicates, which read the same
            usable_bytes = read_group("estimate", config["estimate"]).usable_bytes
            needed = list_artifacts(decide_reading_placements(config, usable_bytes))
            artifacts += [one for one in needed if not (trial and one[1].kind == "validation")]
            self.artifacts |= {item.name: item for _, item in artifacts}
        return artifacts

    def add_references(self) -> None:
        """Evaluates every teacher once, as it is, so that it stands beside the arms."""
        run_by_recipe: dict[str, PlannedRun] = {}
        for run in self.runs.values():
            run_by_recipe.setdefault(run.recipe, run)  # replicates have the same teachers
        for run in run_by_recipe.values():
            for teacher in run.config["teachers"].values():
                # It stands alone here, so where it lies is decided anew.
                student = place_model(drop_own_rooms(teacher), AUTO)
                alone = {"arm": "teacher", "trained": False, "student": student, "teachers": {}}
                config = {**run.config, **alone}
                known = self.runs.get(run_identity(config)) or self.add(config)
                name = self.labels.choose_label(
                    REFERENCES, teacher["name"], known.recipe, known.identity, config
                )
                self.references[name] = known.identity

    def list_unified_steps(self) -> list[int]:
        """The steps of trained runs whose budget is their own, each number once: one, if equal."""
        derived = {
            identity
            for question in self.questions.values()
            for label in question.matched
            for identity in question.arms[label].values()
        }
        own = [run for identity, run in self.runs.items() if identity not in derived]
        return sorted({run.steps for run in own if run.config["trained"]})

    def place_run(
        self, question: str, label: str, seed: int | str, run: PlannedRun, *, automatic: bool
    ) -> str:
        """Puts a run of the plan under its label in a question that the plan has.

        Args:
            question: its name.
            label: what a file calls the arm, or what an automatic label begins with.
            seed: under which it stands there.
            run: of this plan.
            automatic: whether the label may say what differs where it is taken.

        Returns:
            The label that it got.

        Raises:
            ConfigError: for a label that a file gives and that holds another recipe.
        """
        put = self.labels.choose_label if automatic else self.labels.hold_label
        label = put(question, label, run.recipe, run.identity, run.config)
        self.questions[question].arms.setdefault(label, {})[str(seed)] = run.identity
        return label
