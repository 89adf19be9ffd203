"""Plans of a few nodes, written by hand."""

from collections.abc import Mapping, Sequence
from typing import Any


def graph(needs: Mapping[str, Sequence[str]]) -> list[Any]:
    """Nodes by name, whose kind is the name's first word."""
    from kvdistill.plan.graph import Node

    recipe = {"trained": True, "budget": {"num_gpus": 1}}
    return [
        Node(name.partition("-")[0], name, recipe, {need: need for need in read})
        for name, read in needs.items()
    ]
