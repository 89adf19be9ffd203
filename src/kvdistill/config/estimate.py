"""The estimate group: what a plan reckons with. Never part of an identity."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kvdistill.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """One kind of processor."""

    peak_tflops: float
    memory_gib: float | None
    """None: the machine's own."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Stated, not measured: printed beside every figure that rests on it."""

    peak_tflops: dict[str, float]
    """By kind of processor."""
    memory_gib: dict[str, float | None]
    kind: str
    utilisation: float
    evaluation_utilisation: float
    tokens_per_item: int
    overhead_s: float
    seed_sd: float
    """Points: the spread of one arm's macro average over seeds."""
    disagreement: float
    """Share of items that two arms answer differently."""
    max_epochs: float
    items: dict[str, int]

    @property
    def gpus(self) -> dict[str, Gpu]:
        """Every kind."""
        return {
            kind: Gpu(peak_tflops=peak, memory_gib=self.memory_gib.get(kind))
            for kind, peak in self.peak_tflops.items()
        }

    @property
    def gpu(self) -> Gpu:
        """The kind that wall time and memory are told for."""
        return self.gpus[self.kind]


def check_estimate(node: Mapping[str, Any]) -> None:
    """Raises ConfigError for shares out of (0, 1], peaks of 0 and an unknown kind."""
    for key in ("utilisation", "evaluation_utilisation", "disagreement"):
        if not 0 < node[key] <= 1:
            raise ConfigError(f"estimate.{key} must be in (0, 1], got {node[key]}.")
    for kind, peak in node["peak_tflops"].items():
        if not peak > 0:
            raise ConfigError(f"estimate.peak_tflops.{kind} must be positive, got {peak}.")
    if node["kind"] not in node["peak_tflops"]:
        raise ConfigError(
            f"estimate.kind={node['kind']} is no kind of processor. Choose one of "
            f"{', '.join(node['peak_tflops'])}, or add it to estimate.peak_tflops."
        )
