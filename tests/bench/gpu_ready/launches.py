"""Operations that a press takes for one layer of a teacher of 32 texts of 512 tokens.

Counted on meta tensors at true shapes: views are left out, since they launch nothing.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from kvdistill.compression.base import Compression
from kvdistill.compression.expected_attention import ExpectedAttention
from kvdistill.compression.h2o import H2O
from kvdistill.compression.kava import Kava
from kvdistill.compression.key_diff import KeyDiff
from kvdistill.compression.knorm import Knorm
from kvdistill.compression.r_kv import RKV
from kvdistill.compression.snap_kv import SnapKV
from kvdistill.models.attention.rotary import Rotary
from kvdistill.types import KV, Layer, Tokens
from tests.bench.gpu_ready.part import Part

TEXTS, SEQ, DIM = 32, 512, 128
HEADS: Mapping[str, tuple[int, int]] = {"7b": (4, 28), "8b": (8, 32), "14b": (8, 40)}
"""Teacher -> KV heads and query heads."""
PRESSES: Mapping[str, type[Compression]] = {
    "r_kv": RKV, "kava": Kava, "h2o": H2O, "snap_kv": SnapKV,
    "expected_attention": ExpectedAttention, "key_diff": KeyDiff, "knorm": Knorm,
}  # fmt: skip


class LaunchCounter(TorchDispatchMode):
    """While it is open, counts the operations that are no views."""

    def __init__(self) -> None:
        super().__init__()
        self.launches = 0

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        self.launches += not function.is_view
        return function(*args, **(kwargs or {}))


def measure(quick: bool) -> dict[str, float]:
    """Press and teacher -> launches a layer."""
    del quick
    return {
        f"launches_{name}_{teacher}": count_press_launches(press(keep=0.5), *heads)
        for name, press in PRESSES.items()
        for teacher, heads in HEADS.items()
    }


def count_press_launches(press: Compression, heads: int, query_heads: int) -> int:
    """Of scoring one layer and choosing the tokens to keep; all tokens are of an answer."""
    layer = make_layer(heads, query_heads)
    with LaunchCounter() as counter:
        # Without `score_in_float32`: there is no autocast of meta tensors to leave.
        press.keep_best([press.score(layer).float()], layer.tokens.mask)
    return counter.launches


def make_layer(heads: int, query_heads: int) -> Layer:
    """A captured layer that has a shape and no contents."""

    def make_heads(count: int) -> torch.Tensor:
        return torch.empty(TEXTS, count, SEQ, DIM, dtype=torch.bfloat16, device="meta")

    mask = torch.ones(TEXTS, SEQ, dtype=torch.bool, device="meta")
    ids = torch.zeros(TEXTS, SEQ, dtype=torch.long, device="meta")
    tokens = Tokens(ids, mask, mask)
    # How long the longest answer is cannot be read of a tensor without contents.
    tokens.__dict__["answer_rows"] = (ids, ids[:, 0])
    keys, queries = make_heads(heads), make_heads(query_heads)
    rotary = Rotary(torch.empty(DIM // 2, device="meta"))
    return Layer(KV(keys, keys, mask), tokens, queries, keys, queries, rotary)


PART = Part(
    measure=measure,
    at_most={f"launches_{name}_{teacher}": 100 for name in PRESSES for teacher in HEADS},
)
