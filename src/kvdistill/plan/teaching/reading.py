"""source=auto: where a run reads its teachers' K and V is what a plan may choose for its cost.

Read from a store in float32 they are the same to rounding, so in an identity it is source=online.
"""

from collections.abc import Mapping
from typing import Any

from kvdistill.config.check_texts import EITHER, STORED

ONLINE = {"_target_": "kvdistill.kv.online.Online", "_partial_": True}


def source_science(source: Mapping[str, Any]) -> dict[str, Any]:
    """What of a source can change a result, also where it wraps another."""
    if source.get("_target_") == EITHER:
        return dict(ONLINE)
    return {
        key: source_science(value) if isinstance(value, Mapping) else value
        for key, value in source.items()
    }


def is_open(config: Mapping[str, Any]) -> bool:
    """Whether a plan is to choose for this config where its teachers are read."""
    source = config["source"]
    asks = source.get("_target_") == EITHER and source["read"] is None
    return bool(config["trained"] and config["teachers"] and asks)


def choose_reading(config: Mapping[str, Any], read: str) -> dict[str, Any]:
    """The config with `source.read` set; what is stored are texts in the run's own style."""
    source = {**config["source"], "read": read}
    if read == STORED:
        source["stored"] = {**source["stored"], "style": config["style"]}
    return {**config, "source": source}
