"""What runs take that read their teachers live, and what they take with a store in float32.

Hours are reckoned as in every plan: operations over a processor's assumed rate, bytes over a
disk's, and for each store that is not filled the start of a job of its own.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from kvdistill import layout
from kvdistill.config.check_texts import LIVE, STORED
from kvdistill.config.compose import Config
from kvdistill.config.schema import Estimate, read_group
from kvdistill.errors import ConfigError
from kvdistill.estimate import run_cost
from kvdistill.files import is_complete
from kvdistill.plan.budget import global_batch
from kvdistill.plan.command_plan import Plan, PlannedRun
from kvdistill.plan.flops import TokenLoad
from kvdistill.plan.graph import STATES, list_artifacts
from kvdistill.plan.matching.run_flops import count_training_flops
from kvdistill.plan.resources.run_memory import count_ranks_per_node
from kvdistill.plan.teaching.reading import choose_reading

Stores = Mapping[str, str]
"""Names of stores -> what a run calls them: `kv.ROLE`, `states.ROLE`."""


@dataclass(frozen=True)
class Reading:
    """What runs that read the same teachers alike take, either way, one after another."""

    runs: int
    texts_read: float
    """How often they read each text, all together."""
    live_s: float
    stored_s: float
    """Filling what is not filled, and reading it."""
    stores: Collection[str]
    """Their names."""
    new_bytes: int
    """Of those that are still to be filled."""

    def __add__(self, other: "Reading") -> "Reading":
        return Reading(
            self.runs + other.runs, self.texts_read + other.texts_read,
            self.live_s + other.live_s, self.stored_s + other.stored_s,
            {*self.stores, *other.stores}, self.new_bytes + other.new_bytes,
        )  # fmt: skip

    @property
    def epochs(self) -> float:
        """How often one of them reads each text, in the mean."""
        return self.texts_read / self.runs


def list_stores(config: Config) -> dict[str, str]:
    """The stores that a run would read, and none where no store can hold what it reads."""
    if config["on_policy"]["every"]:
        return {}
    try:
        nodes = list(list_artifacts(choose_reading(config, STORED)))
    except ConfigError:
        return {}
    return {node.name: place for place, node in nodes if node.kind == "kv"}


def price_reading(
    plan: Plan, stores: Stores, runs: Sequence[PlannedRun], estimate: Estimate,
    planned: Collection[str] = (),
) -> Reading:  # fmt: skip
    """What these runs, which would read these stores, take either way.

    Args:
        plan: where stores may lie filled.
        stores: of each run, as `list_stores` has them.
        runs: of one recipe, or of several that read alike.
        estimate: the rates.
        planned: names of stores that are filled for others, and so cost these runs nothing.
    """
    live, stored = (choose_reading(runs[0].config, read) for read in (LIVE, STORED))
    budget = read_group("budget", live["budget"])
    rate = estimate.gpu.peak_tflops * 1e12 * estimate.utilisation * budget.num_gpus
    disk = estimate.disk_gb_s * 1e9 * max(1, budget.num_gpus // count_ranks_per_node(live))
    sizes = {name: count_bytes(stored, place) for name, place in stores.items()}
    new_stores = [
        name
        for name in stores
        if name not in planned and not is_complete(layout.artifact_folder(plan.root, name))
    ]
    new_bytes = sum(sizes[name] for name in new_stores)
    filled_s = sum(estimate_filling(stored, stores[name]) for name in new_stores) / rate
    load = TokenLoad.nominal(global_batch(budget) * budget.seq_len, budget.seq_len)
    steps = sum(run.steps for run in runs)
    texts_read = sum(run_cost.count_epochs(live, run.steps) for run in runs)
    read_s = steps * count_training_flops(stored, load) / rate
    moved_bytes = new_bytes + texts_read * sum(sizes.values())
    return Reading(
        runs=len(runs),
        texts_read=texts_read,
        live_s=steps * count_training_flops(live, load) / rate,
        stored_s=filled_s + len(new_stores) * estimate.overhead_s + read_s + moved_bytes / disk,
        stores=set(stores),
        new_bytes=new_bytes,
    )


def count_bytes(config: Config, place: str) -> int:
    """Of one store, at the place that a run has for it."""
    kind, _, role = place.partition(".")
    count = run_cost.estimate_states_bytes if kind == STATES else run_cost.estimate_store_bytes
    return count(config, config["teachers"][role])


def estimate_filling(config: Config, place: str) -> int:
    """Operations of filling it."""
    kind, _, role = place.partition(".")
    fill = run_cost.estimate_states if kind == STATES else run_cost.estimate_store
    return fill(config, config["teachers"][role]).teachers
