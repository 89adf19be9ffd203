"""From command lines to a plan: each override list, through its sweep if it names one."""

import copy
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kvdistill.config import hydra_internals
from kvdistill.config.check_cluster import read_resources
from kvdistill.config.check_values import check_seed
from kvdistill.config.compose import Config, compose
from kvdistill.errors import ConfigError
from kvdistill.layers.from_config import check_layers
from kvdistill.plan.claims import resolve_claims
from kvdistill.plan.command_plan import Plan
from kvdistill.plan.labels.contradictions import check_overrides
from kvdistill.plan.labels.declared import list_declared
from kvdistill.plan.matching.match_budget import TOTAL, ArmConfig, match_budgets
from kvdistill.plan.pin import Pins
from kvdistill.plan.study_plan import Question
from kvdistill.plan.sweep import Sweep, read_sweep, unfold_sweeps

UNVARIED = {
    "seed", "study", "stage", "root", "sweep", "run", "status", "label", "reason", "code", "smoke",
}  # fmt: skip
"""Keys that do not make a label."""
ASK_NO_NETWORK = {"plan", "doctor", "smoke"}
"""Stages that only name what they could not resolve; of these smoke alone computes, and it refuses
what has no commit where it would read it."""


@dataclass(frozen=True)
class Request:
    """One run that a command asks for, before its config is composed."""

    question: str
    sweep: Sweep | None
    arm: str
    """The sweep's own label, which its claims name; empty without a sweep."""
    moved: str
    """What `-m` varies, as it stands on the command line."""
    overrides: Sequence[str]
    """Without seed and sweep."""
    seed: Any
    """None: the config's own."""
    resources: Mapping[str, Any]
    fixed: Sequence[str] = ()
    """Of the overrides, those of the sweep's own arm and point."""
    point: str = ""
    """What of `arm` names the point of the axes."""

    @property
    def label(self) -> str:
        """What the tables call the arm; empty where a single command varies nothing."""
        return f"{self.arm} {self.moved}".strip()


def expand_command(job_overrides: Sequence[Sequence[str]], sweeps: Path) -> Plan:
    """The plan of one command: one override list without `-m`, one a job with it."""
    hydra_internals.enable_file_cache()
    composer = Composer()
    plan: Plan | None = None
    teachers: dict[str, dict[str, list[str]]] = {}  # question -> arm -> names of its teachers
    points: dict[str, dict[str, None]] = {}  # question -> what `-m` varies, in order and each once
    requests = list(read_requests(job_overrides, sweeps))
    configs = [composer(request.overrides, request.seed) for request in requests]
    matched = match_requests(requests, configs)
    for request, config in zip(requests, configs, strict=True):
        plan = plan or start_plan(config)
        add_request(plan, request, config)
        names = [teacher["name"] for teacher in config["teachers"].values()]
        teachers.setdefault(request.question, {})[request.arm] = names
        points.setdefault(request.question, {})[request.moved] = None
    assert plan is not None
    plan.unresolved, plan.commits = composer.pins.unresolved, composer.pins.resolved_commits()
    for name, question in plan.questions.items():
        question.matched = matched[name]
        question.judging = resolve_claims(
            question.judging, teachers[name], name, list(points[name])
        )
    if plan.config["references"]:
        plan.add_references()
    return plan


def start_plan(config: Config) -> Plan:
    """An empty plan for the study of its first run. Raises ConfigError for several studies."""
    study = config["study"] or config["scale"]
    if isinstance(study, list):
        raise ConfigError(
            f"study={study} names several studies, which only stage=report joins. Give one."
        )
    return Plan(Path(config["root"]), str(study), config=config)


def add_request(plan: Plan, request: Request, config: Config) -> None:
    """Adds a run to the plan and, under its label and seed, to its question."""
    sweep = request.sweep
    text = sweep.question if sweep else f"Command line: {request.question}"
    judging = dict(sweep.judged) if sweep else {}
    plan.questions.setdefault(request.question, Question(text, judging))
    run = plan.add(config, request.resources)
    label = plan.place_run(
        request.question, request.label or str(config["arm"]), config["seed"], run,
        automatic=sweep is None,
    )  # fmt: skip
    plan.questions[request.question].declared[label] = list_declared(
        request.fixed, label, config, automatic=sweep is None
    )


def match_requests(
    requests: Sequence[Request], configs: Sequence[Config]
) -> dict[str, dict[str, str]]:
    """Gives every arm with `budget.match` its tokens; question -> label -> the arm it matches."""
    arms: dict[str, dict[str, list[ArmConfig]]] = {}
    for request, config in zip(requests, configs, strict=True):
        sets_tokens = any(item.startswith(f"{TOTAL}=") for item in request.fixed)
        arm = ArmConfig(request.arm, request.point, sets_tokens, config)
        arms.setdefault(request.question, {}).setdefault(request.label, []).append(arm)
    return {question: match_budgets(question, each) for question, each in arms.items()}


def read_requests(job_overrides: Sequence[Sequence[str]], sweeps: Path) -> Iterator[Request]:
    """Every run that the override lists ask for, in order."""
    varied = [key for key in find_varied_keys(job_overrides) if key not in UNVARIED]
    for overrides in job_overrides:
        given = dict(item.split("=", 1) for item in overrides if "=" in item)
        rest = [item for item in overrides if item.split("=", 1)[0] not in ("seed", "sweep")]
        moved = " ".join(f"{k.lstrip('+~')}={given[k]}" for k in varied if k in given)
        seed = parse_seed(given)
        names = [name.strip() for name in given.get("sweep", "null").strip("[]").split(",")]
        if names in (["null"], [""]):
            question = "+".join(varied) or "runs"
            yield Request(question, None, "", moved, overrides=rest, seed=seed, resources={})
            continue
        for sweep in (read_sweep(each, sweeps) for each in unfold_sweeps(names, sweeps)):
            check_overrides(sweep, rest)
            for arm, label, fixed in sweep.runs():
                resources = read_arm_resources(sweep, arm)
                for each in sweep.seeds if seed is None else [seed]:
                    yield Request(
                        sweep.name, sweep, label, moved, overrides=[*fixed, *rest], seed=each,
                        resources=resources, fixed=fixed, point=label.removeprefix(arm),
                    )  # fmt: skip


def read_arm_resources(sweep: Sweep, arm: str) -> Mapping[str, Any]:
    """What the arm asks of SLURM. Raises ConfigError naming a wrong key."""
    if arm not in sweep.resources:
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
            check_layers(composed)
            self.pins.strict = composed["stage"] not in ASK_NO_NETWORK
            self.done[key] = self.pins(composed)
        # Each run keeps its config; a seed set in a shared one would change all.
        config = copy.deepcopy(self.done[key])
        if seed is not None:
            config["seed"] = seed
            check_seed(config)
        return config


def find_varied_keys(job_overrides: Sequence[Sequence[str]]) -> list[str]:
    """Override keys whose value is not the same in every list, in order of appearance."""
    counts: dict[str, Counter[str]] = {}
    for overrides in job_overrides:
        for item in overrides:
            key, _, value = item.partition("=")
            counts.setdefault(key, Counter())[value] += 1
    jobs = len(job_overrides)
    return [key for key, values in counts.items() if max(values.values()) < jobs]
