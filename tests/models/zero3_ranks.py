"""What each of two ranks sees of teachers under ZeRO-3; started by test_sharded."""

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


def node(name: str, dtype: str, shard: str) -> dict[str, Any]:
    """A teacher's config."""
    placement = {"device": "auto", "shard": shard}
    return {"geometry": TEACHERS[name], "dtype": dtype, "placement": placement}


def saved(folder: Path) -> None:
    """Writes the teachers' weights, as `load.body` looks for them."""
    for name, kind in KINDS.items():
        make_model(TEACHERS[name], kind, seed=3).save_pretrained(folder / name / "model")


def body(folder: Path, name: str, dtype: str, shard: str, deepest: int) -> Any:
    """The teacher as the placement has it."""
    from kvdistill.models import load

    return load.load_body(node(name, dtype, shard), f"teacher.{name}", folder / name, deepest)


def captured(found: Any, rank: int) -> dict[int, Any]:
    """K, V and rotated queries and keys of texts that no other rank reads, of another shape."""
    from kvdistill.kv.rotary import read_rotaries
    from kvdistill.models.capture import Capture
    from kvdistill.models.load import get_compute_device
    from kvdistill.types import move_to_device

    read = move_to_device(
        make_tokens([7 + rank, 5], 8 + 3 * rank, seed=rank), get_compute_device(found)
    )
    capture = Capture(found, LAYERS, rotaries=read_rotaries(found, LAYERS))
    with torch.no_grad(), capture:
        found(input_ids=read.ids, attention_mask=read.mask.long(), use_cache=False)
    return capture.pop_layers(read)


def apart(one: dict[int, Any], other: dict[int, Any]) -> float:
    """The largest difference between two captures."""
    pairs = [
        (getattr(one[at].kv, part), getattr(other[at].kv, part))
        for at in LAYERS
        for part in ("keys", "values")
    ]
    pairs += [(one[at].rotated_queries, other[at].rotated_queries) for at in LAYERS]
    assert all(a.dtype == b.dtype and a.shape == b.shape for a, b in pairs)
    return max(float((a - b).abs().max()) for a, b in pairs)


def held(found: Any) -> dict[str, Any]:
    """How much of a sharded body lies here, and which of its parts there are."""
    parameters = dict(found.named_parameters())
    return {
        "layers": len(found.layers),
        "names": sorted(parameters),
        "whole": sum(p.ds_numel for p in parameters.values()),
        "here": sum(p.ds_tensor.numel() for p in parameters.values()),
        "optimizer": type(found.engine.optimizer).__name__,
    }


def wanting(folder: Path, shard: str) -> Callable[..., Any]:
    """What a source is built from, its teacher under that placement."""
    from dataclasses import replace

    from tests.train.conftest import make_request

    def make(name: str, reader: Any) -> Any:
        deepest = max(source.high for source in reader.layer_pairs)
        return replace(
            make_request(name, reader), load_body=lambda: body(folder, name, "float32", shard, deepest)
        )

    return make


def work(rank: int, config: dict, folder: str) -> None:
    """Leaves in `folder` what this rank saw."""
    where = Path(folder)
    with ranks.join_two_ranks(rank, where):
        seen: dict[Any, Any] = {}
        for name, dtype, shard in CASES:
            plain = captured(body(where, name, dtype, "none", LAYERS[-1]), rank)
            parts = body(where, name, dtype, shard, LAYERS[-1])
            found = captured(parts, rank)
            seen[name, dtype, shard] = apart(plain, found), held(parts)
        student = make_model(TEACHERS["a"], "qwen2")
        seen["student"] = {hasattr(p, "ds_tensor") for p in student.parameters()}
        torch.save(seen, where / f"seen{rank}.pt")
        trained = ranks.train_division(
            config, where / "sharded", ("a", "b"), 2, 4, 1, wanting(where, "zero3")
        )
        torch.save(trained, where / f"trained{rank}.pt")
