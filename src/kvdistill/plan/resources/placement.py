"""`placement.shard=auto`: a model is whole on each GPU where a job fits so, else in ZeRO-3 parts.

Decided when a job is planned, by its memory and that of the card which `estimate.kind` names, and
frozen with its recipe. Where a model lies changes no result, so it is in no identity.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kvdistill.config.compose import Config
from kvdistill.geometry import Geometry
from kvdistill.layers.from_config import pair_teacher_layers
from kvdistill.plan.graph import find_store_spec
from kvdistill.plan.resources.calibration_memory import count_moment_bytes
from kvdistill.plan.resources.model_memory import RankBatch, count_weights, measure_teacher
from kvdistill.plan.resources.run_memory import WEIGHT_BYTES, estimate_run_memory
from kvdistill.plan.teaching.signals import matches_kv

AUTO, WHOLE, DIVIDED = "auto", "none", "zero3"


def decide_run_placements(config: Config, usable_bytes: int | None) -> Config:
    """A run's config with every `auto` decided; itself where there is none.

    Largest teachers are divided first, as few of them as let the rest lie whole. `usable_bytes`:
    of one GPU; None where the plan knows of none.
    """
    student = config["student"]
    if not config["trained"] and is_automatic(student):
        fits = usable_bytes is None or count_model_bytes(student) <= usable_bytes
        return config | {"student": place_model(student, WHOLE if fits else DIVIDED)}
    automatic = [name for name, node in config["teachers"].items() if is_automatic(node)]
    if not automatic:
        return config
    teachers = {
        name: place_model(node, WHOLE) if name in automatic else node
        for name, node in config["teachers"].items()
    }
    decided = config | {"teachers": teachers}
    # A stored teacher is not loaded, and one rank has nobody to divide with.
    reads = not find_store_spec(config["source"]) and config["budget"]["num_gpus"] > 1
    for name in sorted(automatic, key=lambda name: -count_model_bytes(teachers[name])):
        if usable_bytes is None or not reads:
            break
        if estimate_run_memory(decided).total <= usable_bytes:
            break
        teachers[name] = place_model(teachers[name], DIVIDED)
    return decided


def decide_reading_placements(config: Config, usable_bytes: int | None) -> Config:
    """The config for jobs that read one teacher alone: its calibration and its store."""
    if not config["trained"]:
        return config
    teachers = {
        name: decide_reading_placement(config, node, usable_bytes) if is_automatic(node) else node
        for name, node in config["teachers"].items()
    }
    return config | {"teachers": teachers}


def decide_reading_placement(
    config: Config, teacher: Mapping[str, Any], usable_bytes: int | None
) -> Mapping[str, Any]:
    """A teacher's node for a job that only reads it: calibration beside the student, or a store."""
    geometry, batch = Geometry.from_node(teacher), read_batch(config)
    memory = measure_teacher(
        geometry, WEIGHT_BYTES[teacher["dtype"]], batch, deepest=geometry.layers - 1, shard=WHOLE,
        ranks=1,
    )  # fmt: skip
    # K and V of all its layers as captured and once more side by side, and the student's.
    captured = 4 * geometry.kv_width * geometry.layers * batch.tokens * WEIGHT_BYTES["float32"]
    moments = 0
    if matches_kv(config):
        pairs, student = pair_teacher_layers(config, teacher), Geometry.from_node(config["student"])
        moments = count_moment_bytes(pairs, geometry, student, batch.tokens)
    needed = memory.weights + memory.running + captured + moments
    needed += count_model_bytes(config["student"])
    fits = usable_bytes is None or needed <= usable_bytes or config["budget"]["num_gpus"] == 1
    return place_model(teacher, WHOLE if fits else DIVIDED)


def read_batch(config: Config) -> RankBatch:
    """What a rank reads at once."""
    return RankBatch(config["budget"]["batch_size"], config["budget"]["seq_len"])


def describe_placements(configs: Sequence[Config]) -> Iterator[str]:
    """A line a set of teachers: how each lies on several GPUs, and what a rank needs of its own."""
    lines: dict[str, None] = {}
    for config in configs:
        placed = [
            f"{node['name']} {'whole' if shard == WHOLE else shard}"
            for node in config["teachers"].values()
            for shard in [(node.get("placement") or {}).get("shard", WHOLE)]
        ]
        if config["budget"]["num_gpus"] > 1 and placed:
            needed = estimate_run_memory(config).total / 2**30
            lines[f"placement: {', '.join(placed)} ({needed:.0f} GiB a rank)"] = None
    yield from lines


def is_automatic(node: Mapping[str, Any]) -> bool:
    """Whether a model's placement is left to the plan."""
    return bool((node.get("placement") or {}).get("shard") == AUTO)


def place_model(node: Mapping[str, Any], shard: str) -> dict[str, Any]:
    """A model's node with this placement."""
    placed = copy.deepcopy(dict(node))
    placed["placement"] = {**(node.get("placement") or {}), "shard": shard}
    return placed


def count_model_bytes(node: Mapping[str, Any]) -> int:
    """Bytes of a whole model's weights; 0 where its shape is not stated."""
    if node.get("geometry") is None:
        return 0
    return count_weights(Geometry.from_node(node)) * WEIGHT_BYTES[node["dtype"]]
