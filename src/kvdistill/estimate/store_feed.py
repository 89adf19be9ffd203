"""The bytes a second that steps from a store need of a node's disk, by what they compute."""

from collections.abc import Iterable
from dataclasses import dataclass

from kvdistill.config.schema import Estimate, read_group
from kvdistill.estimate import run_cost
from kvdistill.estimate.plan_cost import PricedArm, format_bytes
from kvdistill.plan.budget import global_batch
from kvdistill.plan.graph import find_store_spec
from kvdistill.plan.matching.count_texts import count_texts
from kvdistill.plan.resources.run_memory import count_ranks_per_node


@dataclass(frozen=True)
class StoreFeed:
    """What the ranks of one node read in a step, texts being of full length."""

    label: str
    """The arm."""
    step_bytes: float
    step_s: float
    """Of the student's step alone: the teachers do not compute."""

    @property
    def gb_per_s(self) -> float:
        """1e9 bytes a second, so that no step waits."""
        return self.step_bytes / self.step_s / 1e9


def estimate_feed(arm: PricedArm, estimate: Estimate) -> StoreFeed:
    """Of an arm that trains with teachers, whether it reads a store now or would."""
    config, steps = arm.config, arm.runs[0].steps
    budget = read_group("budget", config["budget"])
    texts = global_batch(budget) * count_ranks_per_node(config) / budget.num_gpus
    stored = sum(
        run_cost.estimate_stored_bytes(config, teacher) for teacher in config["teachers"].values()
    )
    rate = estimate.gpu.peak_tflops * 1e12 * estimate.utilisation * budget.num_gpus
    return StoreFeed(
        arm.label,
        step_bytes=texts * stored / count_texts(config),
        step_s=arm.run_cost.student / steps / rate,
    )


def find_highest_feed(arms: Iterable[PricedArm], estimate: Estimate) -> StoreFeed | None:
    """Of the arm that needs most; None where none trains with teachers."""
    taught = [arm for arm in arms if arm.config["trained"] and arm.config["teachers"]]
    feeds = [estimate_feed(arm, estimate) for arm in taught]
    return max(feeds, key=lambda feed: feed.gb_per_s, default=None)


def describe_feed(feed: StoreFeed, estimate: Estimate) -> str:
    """One sentence: what a step reads, in which time, and what a disk is taken to give."""
    return (
        f"A step from a store reads at most {format_bytes(round(feed.step_bytes))} a node in "
        f"{feed.step_s:.2g} s on {estimate.kind} ({feed.label}): {feed.gb_per_s:.2g} GB/s, where a "
        f"node's disk is taken to give {estimate.disk_gb_s:g} (estimate.disk_gb_s)."
    )


def warn_of_feed(arms: Iterable[PricedArm], estimate: Estimate) -> str | None:
    """A sentence where runs read stores faster than a disk gives; None where none does."""
    reading = [arm for arm in arms if find_store_spec(arm.config["source"]) is not None]
    feed = find_highest_feed(reading, estimate)
    if feed is None or feed.gb_per_s <= estimate.disk_gb_s:
        return None
    return (
        f"steps from a store need {feed.gb_per_s:.2g} GB/s of a node's disk ({feed.label}), above "
        f"estimate.disk_gb_s={estimate.disk_gb_s:g}: they would take "
        f"{feed.gb_per_s / estimate.disk_gb_s:.1f} times as long as the student computes. Take "
        f"source.stored.dtype=int8, a smaller compression.keep or fewer layers, put the root on a "
        f"faster disk and say so in estimate.disk_gb_s, or use source=online."
    )
