"""Trials' folders as their jobs would leave them, with what they measured made up."""

from collections.abc import Callable
from pathlib import Path

from kvdistill.manifest import write_manifest
from kvdistill.plan.graph import Node

Measure = Callable[[Node], float | None]
"""A trial's cross-entropy; None where it diverges."""


def measure_by_rate(node: Node) -> float | None:
    """Lowest at 2e-3; seeds a little apart."""
    rate = float(node.recipe["train"]["lr"])
    return 0.3 + abs(rate - 2e-3) * 50 + node.recipe["seed"] / 1000


def finish_trial(node: Node, folder: Path, measure: Measure = measure_by_rate) -> None:
    """Its manifest, as jobs/builders.py has it written."""
    ce = measure(node)
    facts = {
        "arm": node.recipe["arm"], "seed": node.recipe["seed"], "ledger": {},
        "diverged": "a NaN" if ce is None else None,
        "measured": None if ce is None else {"step": 3, "ce": ce, "exact_match": 0.25},
    }  # fmt: skip
    write_manifest(folder, node.kind, node.needs, facts)
