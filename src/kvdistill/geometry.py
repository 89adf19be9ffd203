"""The shape of a model, as its YAML states it. No torch: the plan reads it without weights."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """Sizes of a decoder; compared with the weights when they are loaded."""

    layers: int
    hidden_size: int
    intermediate_size: int
    heads: int
    """Query heads."""
    kv_heads: int
    head_dim: int
    vocab_size: int
    tied_embeddings: bool = True

    @classmethod
    def from_node(cls, node: Mapping[str, Any]) -> "Geometry":
        """The geometry in the config node of a student or teacher."""
        return cls(**node["geometry"])

    @property
    def kv_width(self) -> int:
        """Width of one layer's keys (or values) over all KV heads."""
        return self.kv_heads * self.head_dim


def list_mismatches(
    stated: Mapping[str, Any], actual: Mapping[str, Any], setting: str
) -> list[str]:
    """A line for each field that both have, and have otherwise; `setting` is a config path."""
    return [
        f"{setting}.{name} is {stated[name]!r} but the model has {value!r}"
        for name, value in actual.items()
        if name in stated and stated[name] != value
    ]
