"""How many processes do a job together."""

from collections.abc import Mapping
from typing import Any

from kvdistill.config.check_models import WHOLE, read_placement
from kvdistill.plan.graph import RUN_KINDS


def world_size(kind: str, recipe: Mapping[str, Any]) -> int:
    """budget.num_gpus to train, to fill a store or to read a teacher in parts; else one process."""
    if kind in RUN_KINDS:
        together = bool(recipe["trained"])
    elif kind == "kv":
        together = True
    elif kind == "answers":
        together = False  # a model that no GPU holds lies on all of its one process
    else:
        teachers = recipe.get("teachers", {})
        together = any(
            read_placement(n, f"teachers.{t}").shard not in WHOLE for t, n in teachers.items()
        )
    return int(recipe["budget"]["num_gpus"]) if together else 1
