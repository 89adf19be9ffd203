"""source=auto: whether the runs of a command read their teachers live or from a store.

A store is filled once and read by all: it pays where runs read each text often, or many runs do.
Hours are reckoned as in every plan (operations over a processor's assumed rate, bytes over a
disk's), so the choice is as good as `conf/estimate/` is; whatever it is, the result is the same.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kvdistill import layout
from kvdistill.config.check_texts import LIVE, STORED
from kvdistill.config.compose import Config
from kvdistill.config.schema import Estimate, read_group
from kvdistill.errors import ConfigError
from kvdistill.estimate import run_cost
from kvdistill.estimate.plan_cost import format_bytes
from kvdistill.files import is_complete
from kvdistill.plan.budget import global_batch
from kvdistill.plan.command_plan import Plan, PlannedRun
from kvdistill.plan.flops import TokenLoad
from kvdistill.plan.freeze import find_planned_folder, is_missing
from kvdistill.plan.frozen_recipe import read_recipe
from kvdistill.plan.graph import list_artifacts
from kvdistill.plan.matching.run_flops import count_training_flops
from kvdistill.plan.resources.run_memory import count_ranks_per_node
from kvdistill.plan.teaching.reading import choose_reading, is_open
from kvdistill.plan.teaching.signals import matches_kv, reads_answers

DISK_SHARE = 0.5
"""Of the free disk, what a store that a plan chooses by itself may take."""


@dataclass(frozen=True)
class Reading:
    """What runs that read the same teachers alike take, either way."""

    runs: int
    epochs: float
    """How often one of them reads each text."""
    live_s: float
    stored_s: float
    """Filling what is not filled, and reading it."""
    new_bytes: int
    """Of stores that are still to be filled."""

    def choose(self, free_bytes: int) -> str:
        """What takes less time, if the disk has room for it."""
        has_room = self.new_bytes <= DISK_SHARE * free_bytes
        return STORED if self.stored_s < self.live_s and has_room else LIVE

    def describe(self, read: str, free_bytes: int) -> str:
        """One sentence for the plan."""
        full = self.stored_s < self.live_s and read == LIVE
        return (
            f"source=auto: {self.runs} run{'s' * (self.runs != 1)} read each text "
            f"{self.epochs:.2g} times: {self.live_s:.3g} s with live teachers, {self.stored_s:.3g} "
            f"s with a store of {format_bytes(self.new_bytes)} more, as estimate has it. "
            + (
                f"{format_bytes(free_bytes)} are free, too few for it: the teachers are read live."
                if full
                else f"The teachers are {'read from the store' if read == STORED else 'live'}."
            )
        )


def choose_sources(plan: Plan) -> Iterator[str]:
    """Decides for every run of the plan that leaves it open; yields what was chosen, and why.

    A run that was under way, or is finished, stays as it was frozen.
    """
    estimate = read_group("estimate", plan.config["estimate"])
    free_bytes = run_cost.read_free_bytes(plan.root)
    for stores, runs in group_open_runs(plan).items():
        reading = price_reading(plan, stores, runs, estimate)
        read = reading.choose(free_bytes)
        yield reading.describe(read, free_bytes)
        for run in runs:
            plan.change_reading(run, choose_reading(run.config, read))


def group_open_runs(plan: Plan) -> dict[tuple[str, ...], list[PlannedRun]]:
    """Names of stores -> the runs to be done that may read these.

    What no store can hold (the student's own texts, teachers' answers) stays live.
    """
    groups: dict[tuple[str, ...], list[PlannedRun]] = {}
    stores_by_recipe: dict[str, tuple[str, ...]] = {}  # replicates read the same
    for run in list(plan.runs.values()):
        if not is_open(run.config) or not is_missing(plan, run.node.name):
            continue
        folder = find_planned_folder(plan, run.node.name)
        if (folder / layout.CONFIG).is_file():
            begun = dict(read_recipe(folder).recipe)["source"]["read"]
            plan.change_reading(run, choose_reading(run.config, begun or LIVE))
            continue
        if run.recipe not in stores_by_recipe:
            stores_by_recipe[run.recipe] = list_stores(choose_reading(run.config, STORED))
        if stores := stores_by_recipe[run.recipe]:
            groups.setdefault(stores, []).append(run)
    return groups


def list_stores(config: Config) -> tuple[str, ...]:
    """The names of the stores that a run would read; none where it cannot."""
    if config["on_policy"]["every"]:
        return ()
    try:
        return tuple(node.name for _, node in list_artifacts(config) if node.kind == "kv")
    except ConfigError:
        return ()


def price_reading(
    plan: Plan, stores: Sequence[str], runs: Sequence[PlannedRun], estimate: Estimate
) -> Reading:
    """What these runs, which read these stores, take either way, one after another."""
    live, stored = (choose_reading(runs[0].config, read) for read in (LIVE, STORED))
    budget = read_group("budget", live["budget"])
    rate = estimate.gpu.peak_tflops * 1e12 * estimate.utilisation * budget.num_gpus
    nodes = max(1, budget.num_gpus // count_ranks_per_node(live))
    disk = estimate.disk_gb_s * 1e9 * nodes
    whole = sum(run_cost.estimate_stored_bytes(stored, node) for node in live["teachers"].values())
    filled = all(is_complete(layout.artifact_folder(plan.root, name)) for name in stores)
    new_bytes = 0 if filled else whole
    load = TokenLoad.nominal(global_batch(budget) * budget.seq_len, budget.seq_len)
    steps = sum(run.steps for run in runs)
    epochs = sum(run_cost.count_epochs(live, run.steps) for run in runs)
    read_s = steps * count_training_flops(stored, load) / rate + epochs * whole / disk
    fill_s = 0 if filled else estimate_filling(stored) / rate + whole / disk
    return Reading(
        runs=len(runs),
        epochs=epochs / len(runs),
        live_s=steps * count_training_flops(live, load) / rate,
        stored_s=fill_s + read_s,
        new_bytes=new_bytes,
    )


def estimate_filling(config: Config) -> int:
    """Operations of all stores that a run reads."""
    fill = [run_cost.estimate_store] * matches_kv(config)
    fill += [run_cost.estimate_states] * reads_answers(config)
    return sum(
        estimate(config, node).teachers for node in config["teachers"].values() for estimate in fill
    )
