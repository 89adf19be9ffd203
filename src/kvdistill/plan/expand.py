"""From command lines to runs: each override list, through its sweep if it names one."""

import copy
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kvdistill.config import compose_cache
from kvdistill.config.cluster import read_resources
from kvdistill.config.compose import Config, compose
from kvdistill.config.schema import check_seed, read_group
from kvdistill.errors import ConfigError
from kvdistill.plan.budget import unified_steps
from kvdistill.plan.claims import resolve_claims
from kvdistill.plan.graph import Node, list_artifacts, make_run_node
from kvdistill.plan.hub import Repo
from kvdistill.plan.identity import recipe_identity, run_identity
from kvdistill.plan.pin import Pins
from kvdistill.plan.sweep import Sweep, read_sweep, unfold_sweeps

UNVARIED = {"seed", "study", "stage", "root", "sweep", "run", "status"}
"""Keys that do not make a label."""
COMPUTE_NOTHING = {"plan", "doctor"}
"""Stages that ask no network and only name what they could not resolve."""


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
    read: dict[str, list[tuple[str, Node]]] = field(default_factory=dict)
    """By recipe: the artefacts of its runs, with their roles."""
    questions: dict[str, dict[str, Any]] = field(default_factory=dict)
    """question -> text, how it is judged, arms: label -> seed -> identity."""
    details: dict[str, str] = field(default_factory=dict)
    """identity -> the overrides that its label leaves out, as they are the same for all."""
    references: dict[str, str] = field(default_factory=dict)
    """Teacher name -> identity of the run that evaluates it as it is."""
    config: Config = field(default_factory=dict)
    """The first run's config: where execution settings are read from."""
    command: str = ""
    """As it was typed, for whoever wants the same again; empty where nothing was."""
    commits: dict[Repo, str] = field(default_factory=dict)
    """What each branch of the hub named when the plan was made."""
    unresolved: dict[str, str] = field(default_factory=dict)
    """Hub repository at a branch -> why it has no commit yet; only in a plan that computes nothing.
    """

    def add(self, config: Config, resources: Mapping[str, Any] | None = None) -> PlannedRun:
        """Takes a resolved, pinned config into the plan."""
        artifacts = self.read.setdefault(key := recipe_identity(config), [])
        if not artifacts:  # else replicates, which read the same
            artifacts += list_artifacts(config)
            self.artifacts |= {item.name: item for _, item in artifacts}
        steps = unified_steps(read_group("budget", config["budget"])) if config["trained"] else 0
        run = PlannedRun(make_run_node(config, artifacts), config, key, steps, resources or {})
        return self.runs.setdefault(run.identity, run)


def expand_command(job_overrides: Sequence[Sequence[str]], sweeps: Path) -> Plan:
    """The plan of one command: one override list without `-m`, one a job with it."""
    compose_cache.enable_compose_cache()
    composer = Composer()
    varied = [key for key in find_varied_keys(job_overrides) if key not in UNVARIED]
    plan: Plan | None = None
    taught: dict[str, dict[str, list[str]]] = {}  # question -> label -> names of its teachers
    for overrides in job_overrides:
        given = dict(item.split("=", 1) for item in overrides if "=" in item)
        moved = [f"{key.lstrip('+~')}={given[key]}" for key in varied if key in given]
        for sweep, arm, label, seed, items in read_requests(overrides, given, sweeps):
            config = composer(items, seed)
            if plan is None:
                study = config["study"] or config["scale"]
                if isinstance(study, list):
                    raise ConfigError(
                        f"study={study} names several studies, which only stage=report joins. "
                        "Give one."
                    )
                plan = Plan(Path(config["root"]), str(study), config=config)
            name = sweep.name if sweep else "+".join(varied) or "runs"
            question = plan.questions.setdefault(name, describe_question(sweep, name))
            found = plan.add(config, read_arm_resources(sweep, arm))
            names = [teacher["name"] for teacher in config["teachers"].values()]
            taught.setdefault(name, {})[label] = names
            full = " ".join([label, *moved]).strip() or str(config["arm"])
            question["arms"].setdefault(full, {})[str(config["seed"])] = found.identity
            common = [item for item in overrides if item.split("=")[0] not in {*UNVARIED, *varied}]
            plan.details.setdefault(found.identity, " ".join(common) or found.recipe)
    assert plan is not None
    plan.unresolved, plan.commits = composer.pins.unresolved, composer.pins.resolved_commits()
    for name, question in plan.questions.items():
        plan.questions[name] = resolve_claims(question, taught[name], name)
    add_references(plan)
    return plan


def read_requests(
    overrides: Sequence[str], given: Mapping[str, str], sweeps: Path
) -> Iterator[tuple[Sweep | None, str, str, int | None, list[str]]]:
    """(sweep, its arm, label, seed, overrides without seed and sweep) of one override list.

    A seed of None is the config's own.
    """
    rest = [item for item in overrides if item.split("=", 1)[0] not in ("seed", "sweep")]
    seed = parse_seed(given)
    text = given.get("sweep", "null").strip("[]")  # sweep=[a,b] asks both at once
    names = [name.strip() for name in text.split(",")]
    if names in (["null"], [""]):
        yield None, "", "", seed, rest
        return
    for sweep in (read_sweep(each, sweeps) for each in unfold_sweeps(names, sweeps)):
        for arm, label, fixed in sweep.runs():
            for each in sweep.seeds if seed is None else [seed]:
                yield sweep, arm, label, each, [*fixed, *rest]


def read_arm_resources(sweep: Sweep | None, arm: str) -> Mapping[str, Any]:
    """The arm's own resources. Raises ConfigError naming a wrong key."""
    if sweep is None or arm not in sweep.resources:
        return {}
    return read_resources(sweep.resources[arm], f"sweep={sweep.name}: resources.{arm}")


def parse_seed(overrides: Mapping[str, str]) -> Any:
    """The command line's seed as YAML would read it; the schema refuses what is no number."""
    text = overrides.get("seed")
    if text is None:
        return None
    return int(text) if text.lstrip("-").isdigit() else text


class Composer:
    """Composes each distinct arm once and binds the seeds afterwards."""

    def __init__(self) -> None:
        self.done: dict[tuple[str, ...], Config] = {}
        self.pins = Pins()

    def __call__(self, overrides: Sequence[str], seed: Any) -> Config:
        """The pinned config with this seed (None: the config's own)."""
        key = tuple(overrides)
        if key not in self.done:
            composed = compose(overrides)
            self.pins.strict = composed["stage"] not in COMPUTE_NOTHING
            self.done[key] = self.pins(composed)
        config = copy.deepcopy(self.done[key])
        if seed is not None:
            config["seed"] = seed
            check_seed(config)
        return config


def add_references(plan: Plan) -> None:
    """Every teacher is evaluated once, as it is, to stand beside the arms."""
    if not plan.config["references"]:
        return
    run_by_recipe: dict[str, PlannedRun] = {}
    for found in plan.runs.values():
        run_by_recipe.setdefault(found.recipe, found)  # replicates have the same teachers
    for found in run_by_recipe.values():
        for teacher in found.config["teachers"].values():
            as_is = {
                **found.config,
                "arm": "teacher",
                "trained": False,
                "student": teacher,
                "teachers": {},
            }
            known = plan.runs.get(run_identity(as_is))
            plan.references[teacher["name"]] = (known or plan.add(as_is)).identity


def describe_question(sweep: Sweep | None, name: str) -> dict[str, Any]:
    """A question's entry in plan.json, before its arms."""
    text = sweep.question if sweep else f"Command line: {name}"
    return {"question": text, **(sweep.judged if sweep else {}), "arms": {}}


def find_varied_keys(job_overrides: Sequence[Sequence[str]]) -> list[str]:
    """Override keys whose value is not the same in every list, in order of appearance."""
    counts: dict[str, Counter[str]] = {}
    for overrides in job_overrides:
        for item in overrides:
            key, _, value = item.partition("=")
            counts.setdefault(key, Counter())[value] += 1
    jobs = len(job_overrides)
    return [key for key, values in counts.items() if max(values.values()) < jobs]
