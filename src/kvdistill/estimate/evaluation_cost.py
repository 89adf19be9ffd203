"""What scoring a model costs: prompts that are read, and answers that are written token by token.

Reading is bound by operations. Writing is not: each step reads all weights and every row's K and V
for one token a row, so it takes their bytes over the memory's bandwidth (Pope et al. 2022,
"Efficiently Scaling Transformer Inference", arXiv 2211.05102, section 2.1); and where each layer's
kernels are launched one by one it takes no less than that (`estimate.decode_layer_ms`), which is
what a small model in transformers is bound by. Batches are those of `tasks.batch_size`.

transformers writes a batch until its longest answer ends, of which among many one reaches the
task's limit; vLLM puts a new row in the place of one that ended, so there it is the mean answer
(`estimate.answer_tokens`). A question with choices is read once, as where they are letters.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from kvdistill.config.compose import Config
from kvdistill.config.schema import Estimate
from kvdistill.geometry import Geometry
from kvdistill.plan import flops
from kvdistill.plan.resources.evaluation_memory import DEFAULT_BATCH, choose_batch_size
from kvdistill.plan.resources.placement import count_model_bytes
from kvdistill.plan.resources.run_memory import WEIGHT_BYTES
from kvdistill.plan.task_files import (
    BUILTIN,
    map_counterparts,
    read_answer_limit,
    read_included_task,
    read_task_metadata,
)


@dataclass(frozen=True)
class ScoringLoad:
    """Items of one task as they are asked."""

    items: int
    prompt: int
    """Tokens."""
    answer: int
    """Tokens that may be written; 0 for a question with choices."""


@dataclass(frozen=True)
class ScoringCost:
    """Of one model on one suite."""

    flops: int = 0
    """Of all tokens read and written."""
    decoded_bytes: int = 0
    """Weights, K and V that the steps of writing read."""
    launch_s: float = 0.0
    """Seconds that those steps take at least, to launch what they compute."""


def estimate_scoring(config: Config, estimate: Estimate) -> ScoringCost:
    """Of the config's student, or the model in its place; nothing of one whose shape is unknown."""
    student = config["student"]
    if student.get("geometry") is None:
        return ScoringCost()
    geometry, number_bytes = Geometry.from_node(student), WEIGHT_BYTES[student["dtype"]]
    weights = count_model_bytes(student)
    tokens = streamed = layers = 0
    backend = config["tasks"].get("backend", "hf")
    for load in list_scoring_loads(config, estimate):
        tokens += load.items * (load.prompt + load.answer)
        if not load.answer:
            continue
        rows = count_rows(config, estimate, load, geometry)
        steps = count_steps(config, estimate, load, rows)
        cache = 2 * geometry.layers * geometry.kv_width * number_bytes
        # On the way through an answer half of it stands in the cache.
        streamed += steps * (weights + rows * (load.prompt + load.answer // 2) * cache)
        layers += steps * geometry.layers
    operations = flops.forward_flops(geometry, flops.TokenLoad(tokens, 0))
    return ScoringCost(operations, streamed, layers * estimate.decode_layer_ms[backend] / 1e3)


def count_rows(config: Config, estimate: Estimate, load: ScoringLoad, geometry: Geometry) -> int:
    """Rows of a batch that writes such answers, on the card that the plan is told for."""
    size = config["tasks"].get("batch_size", DEFAULT_BATCH)
    if size == "auto":
        size = DEFAULT_BATCH
        if estimate.usable_bytes is not None:
            bound = 1 << (load.prompt + load.answer - 1).bit_length()
            number_bytes = WEIGHT_BYTES[config["student"]["dtype"]]
            weights = count_model_bytes(config["student"])
            # A model that no GPU holds lies on as many as hold it.
            gpus = -(-weights // estimate.usable_bytes)
            free_bytes = gpus * estimate.usable_bytes - weights
            size = choose_batch_size(geometry, number_bytes, bound, free_bytes, generated=True)
    return min(int(size), load.items)


def count_steps(config: Config, estimate: Estimate, load: ScoringLoad, rows: int) -> int:
    """Steps of writing, each of which gives a token to every row."""
    if config["tasks"].get("backend", "hf") == "vllm":
        return -(-load.items * min(load.answer, estimate.answer_tokens) // rows)
    return -(-load.items // rows) * load.answer


def list_scoring_loads(config: Config, estimate: Estimate) -> Iterator[ScoringLoad]:
    """Every task of a suite whose size is known, those beside the average too.

    A model that is scored as it is answers lm-eval's own task of each beside it, where the suite
    asks for those: the same items, with answers as long as lm-eval lets them be.
    """
    tasks = config["tasks"]
    for name in (*tasks["tasks"], *tasks["beside"]):
        items = count_task_items(name, tasks["limit"], estimate)
        limit = read_answer_limit(name)
        if limit and tasks["max_gen_toks"] is not None:
            limit = tasks["max_gen_toks"]
        if items:
            yield ScoringLoad(items, estimate.tokens_per_item, limit)
        counterpart = (read_task_metadata(name) or {}).get("counterpart")
        asked_twice = tasks.get("counterparts") and not config["trained"] and counterpart
        if items and asked_twice and name in tasks["tasks"]:
            limit = read_answer_limit(f"{BUILTIN}{counterpart}")
            yield ScoringLoad(items, estimate.tokens_per_item, limit)


def count_task_items(name: str, limit: object, estimate: Estimate) -> int:
    """Items of a task, or of the one it asks in another form, within the suite's limit; 0: unknown.

    One of lm-eval's own has those of ours of the same benchmark, else what `estimate.items` says
    of it (without `builtin:`). A task of which only the limit is known has that many.
    """
    most = limit if isinstance(limit, int) else None
    if isinstance(limit, dict):
        most = limit.get(name)
    own = name.removeprefix(BUILTIN)
    base: str | None = map_counterparts().get(own, own) if name.startswith(BUILTIN) else name
    while base is not None and base not in estimate.items:
        base = read_included_task(base)
    if base is None:
        return most or 0
    count = estimate.items[base]
    return count if most is None else min(most, count)


def list_unsized_tasks(config: Config, estimate: Estimate) -> list[str]:
    """The tasks of a suite whose scoring is not reckoned, since nothing says how many items.

    What is drawn of the own data has no name in `estimate.items`: a split says how many, later.
    """
    tasks = config["tasks"]
    names = (*tasks["tasks"], *tasks["beside"])
    return [name for name in names if not count_task_items(name, tasks["limit"], estimate)]
