"""What each of two ranks computes with teachers under ZeRO-3; started by test_zero3."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from tests.train import ranks
from tests.train.conftest import TEACHERS, make_model, make_tokens

KINDS = {"a": "qwen2", "b": "llama"}
CASES = [
    (name, dtype, shard)
    for name in KINDS
    for dtype, shard in (
        ("float32", "zero3"), ("float32", "zero3_offload"), ("bfloat16", "zero3"),
    )
]  # fmt: skip
LAYERS = [1, 2]


def build_teacher_node(name: str, dtype: str, shard: str) -> dict[str, Any]:
    """A teacher's config."""
    placement = {"device": "auto", "shard": shard}
    return {"name": name, "geometry": TEACHERS[name], "dtype": dtype, "placement": placement}


def save_teachers(folder: Path) -> None:
    """Writes the teachers' weights, as `load.load_body` looks for them."""
    for name, kind in KINDS.items():
        make_model(TEACHERS[name], kind, seed=3).save_pretrained(folder / name / "model")


def load_teacher_body(folder: Path, name: str, dtype: str, shard: str, deepest: int) -> Any:
    """The teacher's body, sharded as its placement says."""
    from kvdistill.models import load

    return load.load_body(
        build_teacher_node(name, dtype, shard), f"teacher.{name}", folder / name, deepest
    )


def capture_layers(body: Any, rank: int) -> dict[int, Any]:
    """K, V and rotated queries and keys of texts that no other rank reads, of another shape."""
    from kvdistill.models.capture import Capture
    from kvdistill.models.decoder import get_compute_device
    from kvdistill.types import move_to_device

    texts = move_to_device(
        make_tokens([7 + rank, 5], 8 + 3 * rank, seed=rank), get_compute_device(body)
    )
    capture = Capture(body, LAYERS, with_attention=True)
    with torch.no_grad(), capture:
        body(input_ids=texts.ids, attention_mask=texts.mask.long(), use_cache=False)
    return capture.pop_layers(texts)


def max_difference(one: dict[int, Any], other: dict[int, Any]) -> float:
    """The largest absolute difference between two captures, by layer."""
    pairs = [
        (getattr(one[layer].kv, part), getattr(other[layer].kv, part))
        for layer in LAYERS
        for part in ("keys", "values")
    ]
    pairs += [(one[layer].rotated_queries, other[layer].rotated_queries) for layer in LAYERS]
    assert all(a.dtype == b.dtype and a.shape == b.shape for a, b in pairs)
    return max(float((a - b).abs().max()) for a, b in pairs)


def describe_partition(body: Any) -> dict[str, Any]:
    """Weights of a sharded body: how many in all, how many on this rank, and their names."""
    parameters = dict(body.named_parameters())
    return {
        "layers": len(body.layers),
        "names": sorted(parameters),
        "whole": sum(p.ds_numel for p in parameters.values()),
        "here": sum(p.ds_tensor.numel() for p in parameters.values()),
        "optimizer": type(body.engine.optimizer).__name__,
    }


def make_request_builder(folder: Path, shard: str) -> Callable[..., Any]:
    """Makes the request of a teacher's K and V with its body under that placement."""
    from dataclasses import replace

    from tests.train.conftest import make_request

    def build_request(name: str, reader: Any) -> Any:
        deepest_layer = max(pair.high for pair in reader.layer_pairs)
        return replace(
            make_request(name, reader),
            load_body=lambda: load_teacher_body(folder, name, "float32", shard, deepest_layer),
        )

    return build_request


def make_whole_request(folder: Path, shards: dict[str, str]) -> Callable[..., Any]:
    """Makes the request of a teacher that is asked for its answers' logits, placed as `shards`."""
    from dataclasses import replace
    from functools import cache

    from kvdistill.models import load
    from tests.train.conftest import make_request

    def build_request(name: str, reader: Any) -> Any:
        node = build_teacher_node(name, "float32", shards[name])
        load_whole = cache(lambda: load.load_body_and_head(node, f"teacher.{name}", folder / name))
        return replace(
            make_request(name, reader, to_head=True),
            load_body=lambda: load_whole()[0],
            load_head=lambda: load_whole()[1],
        )

    return build_request


def compare_answers(
    config: dict[str, Any], batch: Any, folder: Path, shards: dict[str, str]
) -> dict[str, Any]:
    """What a batch's logits, their term and its gradient are with teachers so placed."""
    module = ranks.build_module(config, tuple(shards), make_whole_request(folder, shards))
    readings = module.read_teachers(batch)
    logits = {
        name: reading.answers.head(reading.answers.hidden) for name, reading in readings.items()
    }
    terms = module(batch)[2]
    terms.total.backward()
    return {
        **logits, "tokens": terms.tokens, "total": terms.total.detach(),
        "gradients": ranks.collect_gradients(module),
    }  # fmt: skip


def make_answer_batch(rank: int | None = None) -> Any:
    """A batch that both teachers read as the student does; of a rank, its row alone."""
    from tests.train.answers.test_logit_terms import read_alike
    from tests.train.test_step import take_row

    whole = read_alike(tuple(KINDS), lengths=(9, 6))
    return whole if rank is None else take_row(whole, rank)


def run_rank(rank: int, config: dict, path: Path, logits: dict) -> None:
    """Writes to `path` how far K and V differ on this rank, and what it trained.

    `logits` is a config that compares next-token distributions.
    """
    warnings.simplefilter("default")  # DeepSpeed's own
    results: dict[Any, Any] = {}
    for name, dtype, shard in CASES:
        plain_layers = capture_layers(
            load_teacher_body(path, name, dtype, "none", LAYERS[-1]), rank
        )
        sharded_body = load_teacher_body(path, name, dtype, shard, LAYERS[-1])
        sharded_layers = capture_layers(sharded_body, rank)
        results[name, dtype, shard] = (
            max_difference(plain_layers, sharded_layers),
            describe_partition(sharded_body),
        )
    answers = [
        compare_answers(logits, make_answer_batch(rank), path, shards)
        for shards in ({"a": "zero3", "b": "zero3_offload"}, {"a": "none", "b": "none"})
    ]
    torch.save(answers, path / f"answers{rank}.pt")
    student = make_model(TEACHERS["a"], "qwen2")
    results["student"] = {hasattr(p, "ds_tensor") for p in student.parameters()}
    torch.save(results, path / f"seen{rank}.pt")
    training_results = ranks.train_division(
        config, path / "sharded", ("a", "b"), 2, 4, 1, make_request_builder(path, "zero3")
    )
    torch.save(training_results, path / f"trained{rank}.pt")
