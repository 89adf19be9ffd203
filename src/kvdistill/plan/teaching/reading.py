"""source=auto: where a run reads its teachers' K and V is what a plan may choose for its cost.

Read from a store in float32 they are the same to rounding, so in an identity it is source=online.
"""

from collections.abc import Mapping
from typing import Any

from kvdistill.config.check_texts import EITHER, STORED

ONLINE = {"_target_": "kvdistill.kv.online.Online", "_partial_": True}
BOTH_WAYS = {"_target_": EITHER, "_partial_": True}


def source_science(source: Mapping[str, Any]) -> dict[str, Any]:
    """What of a source can change a result, also where it wraps another."""
    if source.get("_target_") == EITHER:
        return dict(ONLINE)
    return {
        key: source_science(value) if isinstance(value, Mapping) else value
        for key, value in source.items()
    }


def may_read_either_way(config: Mapping[str, Any]) -> bool:
    """Whether live or stored is one science for this config, whichever it asks for."""
    source, teachers = config.get("source"), config.get("teachers")
    return bool(config["trained"] and teachers and source and source_science(source) == ONLINE)


def is_open(config: Mapping[str, Any]) -> bool:
    """Whether a plan is to choose for this config where its teachers are read."""
    source = config["source"]
    asks = source.get("_target_") == EITHER and source["read"] is None
    return asks and may_read_either_way(config)


def select_readers(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe of a run with every way of reading that its plan could have chosen.

    Replicates of which one read a store and another did not are made by the code of both.
    """
    return {**recipe, "source": BOTH_WAYS} if may_read_either_way(recipe) else dict(recipe)


def choose_reading(config: Mapping[str, Any], read: str) -> dict[str, Any]:
    """The config with `source.read` set; what is stored are texts in the run's own style."""
    source = {**config["source"], "read": read}
    if read == STORED:
        source["stored"] = {**source["stored"], "style": config["style"]}
    return {**config, "source": source}
