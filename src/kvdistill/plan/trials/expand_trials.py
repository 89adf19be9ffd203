"""From a command to the trials of its sweeps' arms: equally many of each, or none of any."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kvdistill.config import hydra_internals
from kvdistill.config.compose import Config
from kvdistill.config.types import format_value
from kvdistill.errors import ConfigError
from kvdistill.plan.command_plan import Plan
from kvdistill.plan.expand import match_requests, start_plan
from kvdistill.plan.identity import trial_recipe
from kvdistill.plan.labels.arm_labels import read_known_plan
from kvdistill.plan.requests.composer import Composer
from kvdistill.plan.requests.read_requests import Request, read_requests
from kvdistill.plan.requests.winners import check_equal_tuning
from kvdistill.plan.sweep import format_override
from kvdistill.plan.tuning.choose import RULES
from kvdistill.plan.tuning.design import Grid, TuneDesign
from kvdistill.plan.tuning.draw import Point, describe_point, draw_points, list_points
from kvdistill.plan.tuning.merge import merge_tunings
from kvdistill.plan.tuning.record import Trial, TunedArm, Tuning


def expand_trials(job_overrides: Sequence[Sequence[str]], sweeps: Path) -> Plan | None:
    """A plan whose runs are the trials that a command's sweeps ask for; None where none asks.

    Raises ConfigError for arms that cannot have equally many, and for other trials than those that
    the study has planned.
    """
    hydra_internals.enable_file_cache()
    requests = list_tuned_requests(job_overrides, sweeps)
    if not requests:
        return None
    composer = Composer()
    configs = [composer(each.overrides, get_design(each).seeds[0]) for each in requests]
    match_requests(requests, configs)
    check_equal_tuning(requests, configs)
    plan = start_plan(configs[0])
    tuned = [
        (request, config)
        for request, config in zip(requests, configs, strict=True)
        if config["trained"] and get_design(request).includes(request.arm)
    ]
    check_grids(tuned, composer)
    for request, config in tuned:
        add_trials(plan, request, config, composer)
    plan.unresolved, plan.commits = composer.pins.unresolved, composer.pins.resolved_commits()
    # Refused before anything is trained, not only when it is frozen.
    merge_tunings(read_known_plan(plan.root, plan.study).tunings, plan.tunings)
    return plan


def list_tuned_requests(job_overrides: Sequence[Sequence[str]], sweeps: Path) -> list[Request]:
    """One request of each label of each question that is tuned, whatever its seed."""
    requests: dict[tuple[str, str], Request] = {}
    for request in read_requests(job_overrides, sweeps):
        if request.design is not None:
            requests.setdefault((request.question, request.label), request)
    return list(requests.values())


def get_design(request: Request) -> TuneDesign:
    """Of a request whose sweep has one."""
    assert request.design is not None
    return request.design


def check_grids(tuned: Sequence[tuple[Request, Config]], composer: Composer) -> None:
    """Refuses a setting that no arm with this grid can vary: a slip, nearly always."""
    varied: dict[tuple[str, str], bool] = {}
    reasons: dict[tuple[str, str], str] = {}
    for request, _ in tuned:
        _, left_out = split_grid(request, composer)
        grid = get_design(request).get_grid(request.arm)
        for key in grid:
            place = (request.question, key)
            varied[place] = varied.get(place, False) or key not in left_out
            reasons.setdefault(place, left_out.get(key, ""))
    for (question, key), is_varied in varied.items():
        if not is_varied:
            raise ConfigError(
                f"sweeps/{question}.yaml: tune.grid.{key} can be varied in no arm: "
                f"{reasons[question, key]}"
            )


def split_grid(request: Request, composer: Composer) -> tuple[Grid, dict[str, str]]:
    """What of its grid an arm can vary; and what it cannot, with the reason.

    It cannot vary what it fixes or does not have: every value is refused, or none changes what is
    trained. Raises ConfigError where some values are refused, or train alike, and others not.
    """
    design = get_design(request)
    varied: dict[str, Sequence[Any]] = {}
    left_out: dict[str, str] = {}
    for key, values in design.get_grid(request.arm).items():
        where = f"sweeps/{request.question}.yaml: tune.grid.{key}"
        recipes: dict[str, list[Any]] = {}
        refusals: dict[str, ConfigError] = {}
        for value in values:
            setting = format_override(key, value)
            try:
                config = composer([*request.overrides, setting], design.seeds[0])
                recipes.setdefault(trial_recipe(config), []).append(value)
            except ConfigError as error:
                refusals[setting] = error
        if not recipes:
            left_out[key] = str(next(iter(refusals.values())))
        elif refusals:
            setting, refusal = next(iter(refusals.items()))
            raise ConfigError(f"{where}: {request.label} refuses {setting}: {refusal}")
        elif len(recipes) == 1:
            left_out[key] = f"{key} changes nothing of what {request.label} trains."
        elif alike := next((each for each in recipes.values() if len(each) > 1), None):
            raise ConfigError(
                f"{where}: {request.label} trains alike with "
                f"{' and '.join(map(format_value, alike))}. Keep one of them."
            )
        else:
            varied[key] = values
    return varied, left_out


def add_trials(plan: Plan, request: Request, config: Config, composer: Composer) -> None:
    """Adds an arm's trials to the plan and to the tuning of its question."""
    design = get_design(request)
    grid, left_out = split_grid(request, composer)
    points = draw_points(grid, design.trials, design.draw)
    if len(points) < design.trials:
        raise ConfigError(describe_small_grid(request, grid))
    trials = []
    for point in points:
        settings = [format_override(key, value) for key, value in point.items()]
        runs = {}
        for seed in design.seeds:
            trial = composer([*request.overrides, *settings], seed)
            trial["budget"] = config["budget"]  # that of the arm, which may be another's FLOPs
            runs[str(seed)] = plan.add(trial, request.resources, trial=True).identity
        trials.append(Trial(point, runs))
    check_distinct(request, trials)
    arm = TunedArm(str(config["arm"]), trials, left_out)
    tuning = plan.tunings.setdefault(
        request.question, Tuning(design.to_json(), RULES[design.measure], {})
    )
    tuning.arms[request.label] = arm


def describe_small_grid(request: Request, grid: Mapping[str, Sequence[Any]]) -> str:
    """Why an arm whose grid has fewer points than there are trials is refused, and the ways out."""
    design = get_design(request)
    where = f"sweeps/{request.question}.yaml: tune.trials={design.trials}"
    count = len(list_points(grid)) if grid else 0
    names = f" of {', '.join(grid)}" if grid else ""
    first = next(iter(grid), "train.lr")
    return (
        f"{where}, but the grid that {request.label} can vary has {count} points{names}. Every arm "
        f"gets equally many trials: lower tune.trials, add values to tune.grid.{first}, or give "
        f"the arm a grid of its own as tune.grids.{request.arm}."
    )


def check_distinct(request: Request, trials: Sequence[Trial]) -> None:
    """Refuses two points that are one training: an arm would have fewer trials than it says."""
    points: dict[tuple[str, ...], Point] = {}
    for trial in trials:
        key = tuple(trial.runs.values())
        if key in points:
            raise ConfigError(
                f"sweeps/{request.question}.yaml: tune.grid: {request.label} trains alike at "
                f"{describe_point(points[key])} and {describe_point(trial.settings)}. Drop a value."
            )
        points[key] = trial.settings
