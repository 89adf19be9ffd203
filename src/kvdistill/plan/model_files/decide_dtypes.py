"""`dtype: auto` of a teacher: bfloat16 where that is multiplied quickly, else float32.

Decided when a run is planned, by the card that `estimate.kind` names or, without one, by the
processor of the machine that plans. What is decided is science: it stands in the identity and is
frozen, so that no job decides again.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from kvdistill.config.schema import read_group
from kvdistill.processor import multiplies_bf16_fast

AUTO, FAST, SURE = "auto", "bfloat16", "float32"


def decide_dtypes(config: Mapping[str, Any]) -> None:
    """Puts a dtype into every teacher's node that leaves it to the plan, in place."""
    for node in config["teachers"].values():
        if node["dtype"] == AUTO:
            node["dtype"] = FAST if multiplies_half_fast(config) else SURE


def multiplies_half_fast(config: Mapping[str, Any]) -> bool:
    """Whether jobs of this config would multiply bfloat16 faster than float32."""
    is_gpu = read_group("estimate", config["estimate"]).usable_bytes is not None
    return is_gpu or multiplies_bf16_fast()


def describe_dtypes(configs: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """A sentence a dtype: which teachers of these configs compute in it, and what speaks for it.

    Of teachers whose weights lie in files: those that the project trains are tiny.
    """
    names: dict[tuple[str, str], dict[str, None]] = {}
    for config in configs:
        reason = explain_dtype(config)
        for node in config["teachers"].values():
            if "pretrained" in node:
                known = names.setdefault((node["dtype"], reason), {})
                known[node["name"]] = None
    for (dtype, reason), teachers in names.items():
        yield f"Teachers compute in {dtype} ({', '.join(teachers)}); {reason}."


def explain_dtype(config: Mapping[str, Any]) -> str:
    """What `auto` is decided by, for jobs of this config."""
    estimate = read_group("estimate", config["estimate"])
    place = estimate.kind if estimate.usable_bytes is not None else "this processor"
    if multiplies_half_fast(config):
        return f"{place} multiplies bfloat16 quickly"
    return f"{place} has no instructions that multiply bfloat16"
