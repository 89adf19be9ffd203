"""What steps from a store need of a disk, against numbers worked out by hand."""

from pathlib import Path
from typing import Any

import pytest

SWEEPS = Path(__file__).parents[2] / "sweeps"
pytestmark = pytest.mark.usefixtures("hydra")
STORED = ("scale=paper", "arm=single_teacher", "source=store", "references=false")


def price(*overrides: str) -> tuple[Any, Any]:
    """(the priced arms of a command, its estimate group)."""
    from kvdistill.config.schema import read_group
    from kvdistill.estimate.plan_cost import group_by_recipe
    from kvdistill.plan.expand import expand_command

    plan = expand_command([["stage=plan", *overrides]], SWEEPS)
    estimate = read_group("estimate", plan.config["estimate"])
    return group_by_recipe(plan, estimate), estimate


def test_a_step_reads_the_kept_tokens_of_a_nodes_texts_in_the_time_of_the_students_step() -> None:
    from kvdistill.estimate.store_feed import find_highest_feed

    arms, estimate = price(*STORED)
    feed = find_highest_feed(arms, estimate)
    # 8 ranks of 32 texts, half of 512 tokens, 28 layers of K and V of 4 heads of 128 in 2 bytes.
    assert feed.step_bytes == pytest.approx(8 * 32 * 256 * 28 * 2 * 4 * 128 * 2)
    seconds = arms[0].run_cost.student / 7629 / (8 * 312e12 * 0.4)
    assert feed.step_s == pytest.approx(seconds)
    assert feed.gb_per_s == pytest.approx(feed.step_bytes / seconds / 1e9)


def test_half_the_ranks_on_a_node_read_half_as_much_there() -> None:
    from kvdistill.estimate.store_feed import find_highest_feed

    whole, half = (
        find_highest_feed(*price(*STORED, "cluster=slurm", f"cluster.nodes={nodes}"))
        for nodes in (1, 2)
    )
    assert half.step_bytes == pytest.approx(whole.step_bytes / 2)
    assert half.step_s == pytest.approx(whole.step_s)


def test_above_what_the_disk_gives_there_is_a_warning_with_a_way_out() -> None:
    from kvdistill.estimate.store_feed import describe_feed, find_highest_feed, warn_of_feed

    arms, estimate = price(*STORED, "estimate.disk_gb_s=1")
    feed = find_highest_feed(arms, estimate)
    assert f"{feed.gb_per_s:.2g} GB/s, where a node's disk is taken to give 1" in describe_feed(
        feed, estimate
    )
    warning = warn_of_feed(arms, estimate)
    assert "above estimate.disk_gb_s=1: they would take" in warning
    assert "source.stored.dtype=int8" in warning
    assert warn_of_feed(*price(*STORED, "estimate.disk_gb_s=100")) is None
    online = (*STORED[:2], STORED[3], "estimate.disk_gb_s=1")
    assert warn_of_feed(*price(*online)) is None
    assert find_highest_feed(*price("arm=sft", "references=false")) is None
