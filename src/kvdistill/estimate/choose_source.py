"""source=auto: whether the runs of a command read their teachers live or from a store.

A store is filled once and read by all: it pays where runs read each text often, or many runs do.
The choice is as good as `conf/estimate/` is; whatever it is, the result is the same.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kvdistill import layout
from kvdistill.config.check_texts import LIVE, STORED
from kvdistill.config.schema import read_group
from kvdistill.console import format_count
from kvdistill.estimate import run_cost
from kvdistill.estimate.plan_cost import format_bytes
from kvdistill.estimate.reading_cost import Reading, Stores, list_stores, price_reading
from kvdistill.plan.command_plan import Plan, PlannedRun
from kvdistill.plan.freeze import find_planned_folder, is_missing
from kvdistill.plan.frozen_recipe import read_recipe
from kvdistill.plan.labels.arm_labels import is_failed
from kvdistill.plan.teaching.reading import choose_reading, is_open, may_read_either_way

DISK_SHARE = 0.5
"""Of the free disk, what the stores that a plan chooses by itself may take together."""


FULL = "full"
"""The outcome where a store would cost less, and the disk has no room for it."""


def choose_sources(plan: Plan) -> Iterator[str]:
    """Decides for every run of the plan that leaves it open; a line an outcome, with the reason.

    A run that was under way, or is finished, stays as it was frozen.
    """
    estimate = read_group("estimate", plan.config["estimate"])
    free_bytes = run_cost.read_free_bytes(plan.root)
    room = DISK_SHARE * free_bytes
    planned: set[str] = set()
    outcomes: dict[str, Reading] = {}
    for stores, runs in group_open_runs(plan):
        reading = price_reading(plan, stores, runs, estimate, planned)
        outcome = choose_outcome(reading, room)
        if outcome == STORED:
            planned |= {*stores}
            room -= reading.new_bytes
        for run in runs:
            plan.change_reading(
                run, choose_reading(run.config, outcome if outcome == STORED else LIVE)
            )
        outcomes[outcome] = outcomes[outcome] + reading if outcome in outcomes else reading
    for outcome, reading in outcomes.items():
        yield describe_outcome(outcome, reading, free_bytes)


def choose_outcome(reading: Reading, room: float) -> str:
    """What takes less time, if the disk has room for it."""
    if reading.stored_s >= reading.live_s:
        return LIVE
    return STORED if reading.new_bytes <= room else FULL


def describe_outcome(outcome: str, reading: Reading, free_bytes: int) -> str:
    """One line for the plan: what was chosen for how many runs, and the figures that decided it."""
    verb = "reads" if reading.runs == 1 else "read"
    who = f"source=auto: {format_count(reading.runs, 'run')} {verb}"
    seconds = f"{reading.live_s:.3g} s with live teachers and {reading.stored_s:.3g} s with stores"
    size = format_bytes(reading.new_bytes)
    if outcome == FULL:
        return (
            f"{who} live teachers: of {format_bytes(free_bytes)} free on the disk stores may take "
            f"{DISK_SHARE:.0%}, too little for {size} (reckoned at {seconds})."
        )
    what = "live teachers"
    if outcome == STORED:
        stores = format_count(len(reading.stores), "float32 store")
        what = f"{stores} of the teachers' K and V ({size} to be filled)"
    return f"{who} {what}: each text is read {reading.epochs:.2g} times, reckoned at {seconds}."


def group_open_runs(plan: Plan) -> list[tuple[Stores, list[PlannedRun]]]:
    """Runs to be done that may read stores, with these: those that read the same ones together.

    What no store can hold (the student's own texts, teachers' answers) stays live.
    """
    groups: dict[tuple[str, ...], tuple[Stores, list[PlannedRun]]] = {}
    stores_by_recipe: dict[str, Stores] = {}  # replicates read the same
    for run in list(plan.runs.values()):
        if not may_read_either_way(run.config) or not is_missing(plan, run.node.name):
            continue
        begun = read_begun_source(find_planned_folder(plan, run.node.name))
        if begun is not None:
            plan.change_reading(run, {**run.config, "source": begun})
        if begun is not None or not is_open(run.config):
            continue
        if run.recipe not in stores_by_recipe:
            stores_by_recipe[run.recipe] = list_stores(run.config)
        if stores := stores_by_recipe[run.recipe]:
            groups.setdefault(tuple(stores), (stores, []))[1].append(run)
    return list(groups.values())


def read_begun_source(folder: Path) -> Mapping[str, Any] | None:
    """The source that a run was frozen with; None where none was, or where the run has failed.

    Its job reads what is frozen, whatever another command asks; of one that failed it is written
    anew (plan/frozen_recipe.py), since where it read its teachers may be why.
    """
    if not (folder / layout.CONFIG).is_file() or is_failed(folder):
        return None
    recipe = read_recipe(folder).recipe
    source: Mapping[str, Any] = recipe["source"]
    is_undecided = is_open(recipe)
    return choose_reading(recipe, LIVE)["source"] if is_undecided else source
