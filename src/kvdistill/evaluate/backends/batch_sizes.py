"""How many requests a model answers at once: as many as are set, or as its device holds."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from lm_eval.api.instance import Instance
from transformers import PreTrainedModel

from kvdistill.evaluate.response_cache import hash_request
from kvdistill.geometry import Geometry
from kvdistill.models.geometry import read_geometry
from kvdistill.plan.resources.evaluation_memory import choose_batch_size


@dataclass(frozen=True)
class BatchSizes:
    """Of one model."""

    fixed: int
    geometry: Geometry | None = None
    number_bytes: int = 0
    free_bytes: int | None = None
    """Of the fullest GPU that holds a part of the model; None: every batch is `fixed`."""

    @classmethod
    def of_model(cls, model: PreTrainedModel, fixed: int, *, automatic: bool) -> "BatchSizes":
        """Where `automatic`, what the model's GPUs have free now; a CPU's batches are `fixed`."""
        devices = {each.device for each in model.parameters() if each.device.type == "cuda"}
        if not automatic or not devices:
            return cls(fixed)
        facts: dict[str, Any] = read_geometry(model.config)
        if "kv_heads" not in facts:
            return cls(fixed)  # a model without attention, of whose state nothing is known here
        free_bytes = min(count_free_bytes(device) for device in devices)
        return cls(fixed, Geometry(**facts), model.dtype.itemsize, free_bytes)

    def divide_requests(
        self, kind: str, requests: Sequence[Instance], lengths: Mapping[str, int]
    ) -> Iterator[tuple[int, list[Instance]]]:
        """(size of a batch, requests that are computed in such), the longest first.

        Requests whose lengths have the same next power of two go together, so that a few long ones
        make no small batches for all. `lengths`: tokens of each by `hash_request`.
        """
        if self.free_bytes is None:
            yield self.fixed, list(requests)
            return
        by_bound: dict[int, list[Instance]] = {}
        for request in requests:
            tokens = lengths[hash_request(kind, request.args)]
            by_bound.setdefault(1 << max(tokens - 1, 0).bit_length(), []).append(request)
        for bound in sorted(by_bound, reverse=True):
            size = self.choose_size(bound, generated=kind == "generate_until")
            yield size, by_bound[bound]

    def choose_size(self, tokens: int, *, generated: bool) -> int:
        """Rows of at most so many tokens, answer included, that are computed at once."""
        if self.free_bytes is None or self.geometry is None:
            return self.fixed
        return choose_batch_size(
            self.geometry, self.number_bytes, tokens, self.free_bytes, generated=generated
        )


def count_free_bytes(device: torch.device) -> int:
    """Bytes of a GPU that this process could still take: free, or kept by its allocator unused."""
    free, _ = torch.cuda.mem_get_info(device)
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(free + kept)
