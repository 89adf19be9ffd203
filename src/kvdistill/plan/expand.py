"""From command lines to a plan: each override list, through its sweep if it names one."""

from collections.abc import Sequence
from pathlib import Path

from kvdistill.config import hydra_internals
from kvdistill.config.compose import Config
from kvdistill.errors import ConfigError
from kvdistill.plan.claims import resolve_claims
from kvdistill.plan.command_plan import Plan
from kvdistill.plan.labels.declared import list_declared
from kvdistill.plan.matching.match_budget import TOTAL, ArmConfig, match_budgets
from kvdistill.plan.requests.baseline import BASELINE
from kvdistill.plan.requests.composer import Composer, name_study
from kvdistill.plan.requests.read_requests import Request, read_requests
from kvdistill.plan.requests.winners import apply_winners, check_equal_tuning
from kvdistill.plan.study_plan import Question


def expand_command(job_overrides: Sequence[Sequence[str]], sweeps: Path) -> Plan:
    """The plan of one command: one override list without `-m`, one a job with it."""
    hydra_internals.enable_file_cache()
    composer = Composer()
    plan: Plan | None = None
    teachers: dict[str, dict[str, list[str]]] = {}  # question -> arm -> names of its teachers
    points: dict[str, dict[str, None]] = {}  # question -> what `-m` varies, in order and each once
    requests = apply_winners(list(read_requests(job_overrides, sweeps)), composer)
    configs = [composer(request.overrides, request.seed) for request in requests]
    check_equal_tuning(requests, configs)
    check_baselines_apart(requests, configs)
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
    return Plan(Path(config["root"]), name_study(config), config=config)


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
    question = plan.questions[request.question]
    question.declared[label] = list_declared(request.fixed, label, config, automatic=sweep is None)
    if request.is_baseline:
        question.judging[BASELINE] = label


def check_baselines_apart(requests: Sequence[Request], configs: Sequence[Config]) -> None:
    """Refuses a baseline that is an arm of the command itself."""
    baselines = {(each.question, each.arm) for each in requests if each.is_baseline}
    for request, config in zip(requests, configs, strict=True):
        arm = str(config["arm"])
        if not request.is_baseline and (request.question, arm) in baselines:
            raise ConfigError(
                f"{BASELINE}={arm} would compare arm={arm} with itself, as the command has that "
                f"arm. Drop {BASELINE}, or choose another arm for one of them."
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
