"""The shape of a model, as its YAML states it. No torch: the plan reads it without weights."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """What the rooms need to know of a decoder; checked against the weights at load."""

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
        """What a student's or teacher's YAML states."""
        return cls(**node["geometry"])

    @property
    def kv_width(self) -> int:
        """Width of one layer's keys (or values) over all KV heads."""
        return self.kv_heads * self.head_dim
