"""How many processes do a job together."""

from collections.abc import Mapping
from typing import Any


def world_size(kind: str, recipe: Mapping[str, Any]) -> int:
    """budget.num_gpus where something is trained; every other job is one process."""
    if kind == "run" and recipe["trained"]:
        return int(recipe["budget"]["num_gpus"])
    return 1
