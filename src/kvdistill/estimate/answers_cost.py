"""What writing answers costs outside evaluation: a teacher's once, or a student's own in training.

A text is reckoned at its full length, of which `estimate.answer_share` is written. Writing takes
what it takes where models are scored (estimate/evaluation_cost.py).
"""

from collections.abc import Mapping
from typing import Any

from kvdistill.config.compose import Config
from kvdistill.config.schema import Estimate
from kvdistill.estimate.evaluation_cost import ScoringLoad, count_rows
from kvdistill.estimate.run_cost import Cost
from kvdistill.geometry import Geometry
from kvdistill.plan import flops
from kvdistill.plan.matching.count_texts import count_texts
from kvdistill.plan.resources.placement import count_model_bytes
from kvdistill.plan.resources.run_memory import WEIGHT_BYTES
from kvdistill.plan.teaching.answers import read_decoding
from kvdistill.plan.teaching.on_policy import count_own_texts, get_period


def estimate_answers(config: Config, teacher: Mapping[str, Any], estimate: Estimate) -> Cost:
    """Of one teacher; `config` is of a run that trains on what it writes."""
    most = read_decoding(config)["max_new_tokens"]
    load = make_writing_load(config, count_texts(config), most, estimate)
    geometry, tokens = Geometry.from_node(teacher), load.prompt + load.answer
    read = flops.TokenLoad.nominal(load.items * tokens, tokens)
    tasks = {**config["tasks"], "batch_size": "auto"}
    rows = count_rows({**config, "student": teacher, "tasks": tasks}, estimate, load, geometry)
    batches = -(-load.items // rows)
    writing = estimate_writing(teacher, load, rows, batches, estimate)
    return Cost(teachers=flops.forward_flops(geometry, read)) + writing


def estimate_own_writing(config: Config, steps: int, estimate: Estimate) -> Cost:
    """Of a student in training, beside its operations; its ranks write at the same time."""
    if not get_period(config):
        return Cost()
    rows = count_own_texts(config)
    load = make_writing_load(config, rows, config["on_policy"]["max_new_tokens"], estimate)
    batches = -(-steps // get_period(config)) * config["budget"]["grad_accum"]
    ranks = config["budget"]["num_gpus"]
    return estimate_writing(config["student"], load, rows, batches * ranks, estimate)


def make_writing_load(
    config: Config, items: int, most: int | None, estimate: Estimate
) -> ScoringLoad:
    """So many texts at their full length, of whose answers `most` tokens are written."""
    seq_len = config["budget"]["seq_len"]
    answer = round(seq_len * estimate.answer_share)
    return ScoringLoad(items, seq_len - answer, answer if most is None else min(answer, most))


def estimate_writing(
    model: Mapping[str, Any], load: ScoringLoad, rows: int, batches: int, estimate: Estimate
) -> Cost:
    """Bytes and launches of writing so many batches; transformers waits for the longest answer."""
    geometry, steps = Geometry.from_node(model), batches * load.answer
    cache = 2 * geometry.layers * geometry.kv_width * WEIGHT_BYTES[model["dtype"]]
    streamed = count_model_bytes(model) + rows * (load.prompt + load.answer // 2) * cache
    return Cost(
        written_bytes=steps * streamed,
        written_launch_s=steps * geometry.layers * estimate.decode_layer_ms["hf"] / 1e3,
    )
