"""What it costs to have a teacher answer the student half's questions: read once, and written.

A text is reckoned at its full length, of which `estimate.answer_share` is written. Writing takes
what it takes where models are scored (estimate/evaluation_cost.py).
"""

from collections.abc import Mapping
from typing import Any

from kvdistill.config.compose import Config
from kvdistill.config.schema import Estimate
from kvdistill.estimate.evaluation_cost import ScoringLoad, count_rows
from kvdistill.estimate.run_cost import Cost, count_texts
from kvdistill.geometry import Geometry
from kvdistill.plan import flops
from kvdistill.plan.resources.placement import count_model_bytes
from kvdistill.plan.resources.run_memory import WEIGHT_BYTES
from kvdistill.plan.teaching.answers import read_decoding


def estimate_answers(config: Config, teacher: Mapping[str, Any], estimate: Estimate) -> Cost:
    """Of one teacher; `config` is of a run that trains on what it writes."""
    seq_len, geometry = config["budget"]["seq_len"], Geometry.from_node(teacher)
    answer = min(round(seq_len * estimate.answer_share), read_decoding(config)["max_new_tokens"])
    prompt = seq_len - round(seq_len * estimate.answer_share)
    load = ScoringLoad(count_texts(config), prompt, answer)
    tokens = load.prompt + load.answer
    operations = flops.forward_flops(geometry, flops.TokenLoad.nominal(load.items * tokens, tokens))
    tasks = {**config["tasks"], "batch_size": "auto"}
    rows = count_rows({**config, "student": teacher, "tasks": tasks}, estimate, load, geometry)
    # transformers writes a batch until its longest answer ends.
    steps = -(-load.items // rows) * load.answer
    cache = 2 * geometry.layers * geometry.kv_width * WEIGHT_BYTES[teacher["dtype"]]
    streamed = count_model_bytes(teacher) + rows * (load.prompt + load.answer // 2) * cache
    return Cost(
        teachers=operations,
        decoded_bytes=steps * streamed,
        launch_s=steps * geometry.layers * estimate.decode_layer_ms["hf"] / 1e3,
    )
