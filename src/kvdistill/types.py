"""The values that pass between rooms.

Axes, here and in every annotation:
    batch, heads (KV heads), dim (head dim), seq (tokens of whichever model the value belongs to);
    student and teacher prefix an axis where both appear in one signature.

K and V always mean keys before the rotary embedding, and values. Anything after it says so.
"""

from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Tokens:
    """A batch of texts as one model reads them, padded on the right."""

    ids: Int[Tensor, "batch seq"]
    mask: Bool[Tensor, "batch seq"]
    """True on real tokens."""
    answer: Bool[Tensor, "batch seq"]
    """True on the tokens of the answer: what cross-entropy is counted on."""

    @property
    def label_mask(self) -> Bool[Tensor, "batch seq"]:
        """True on the answer tokens that have a token before them."""
        found = self.answer & self.mask
        return found & (torch.arange(found.shape[1], device=found.device) > 0)

    @property
    def logit_mask(self) -> Bool[Tensor, "batch seq"]:
        """True on the tokens before those: from their scores the answer is predicted."""
        return self.label_mask.roll(-1, dims=1)


@dataclass(frozen=True)
class KV:
    """One layer's cache, keys before the rotary embedding; undefined under the mask."""

    keys: Float[Tensor, "batch heads seq dim"]
    values: Float[Tensor, "batch heads seq dim"]
    mask: Bool[Tensor, "batch seq"]


@dataclass(frozen=True)
class Layer:
    """One captured layer: K and V and, where a room asked for them, rotated queries and keys."""

    kv: KV
    tokens: Tokens
    rotated_queries: Float[Tensor, "batch query_heads seq dim"] | None = None
    rotated_keys: Float[Tensor, "batch heads seq dim"] | None = None


@dataclass(frozen=True)
class Links:
    """Sparse rows of a batch: for each student token, the weighted teacher tokens under it.

    Rows are stored one after the other (student tokens of sample 0, then of sample 1, ...), so
    that one `embedding_bag` applies them without a dense student_seq x teacher_seq matrix.
    """

    teacher_rows: Int[Tensor, " links"]
    """Row that is read, ascending within a student token's links. As collated, the flat position
    `sample * teacher_seq + token`."""
    weight: Float[Tensor, " links"]
    """Positive; the weights of a row sum to 1, and a row without links is masked."""
    offsets: Int[Tensor, " rows"]
    """Where each row starts in `teacher`; rows = batch * student_seq."""
    student_seq: int
    teacher_seq: int

    @property
    def link_counts(self) -> Int[Tensor, " rows"]:
        """Number of links of each row."""
        return torch.diff(self.offsets, append=self.offsets.new_tensor([len(self.teacher_rows)]))

    @property
    def mask(self) -> Bool[Tensor, "batch student_seq"]:
        """True on the student tokens that have a teacher token."""
        return (self.link_counts > 0).view(-1, self.student_seq)

    def map_to_rows(self, rows: Int[Tensor, "batch teacher_seq"]) -> "Links":
        """The links to the rows that stand for the teacher's tokens; -1 drops a token.

        What is left of each student token's links is renormalised.
        """
        found = rows.reshape(-1)[self.teacher_rows]
        stays = found >= 0
        if bool(stays.all()):
            return replace(self, teacher=found)
        own = torch.repeat_interleave(self.link_counts)[stays]
        weight = self.weight[stays]
        total = weight.new_zeros(len(self.offsets)).index_add_(0, own, weight)
        counts = torch.bincount(own, minlength=len(self.offsets))
        return replace(
            self,
            teacher=found[stays],
            weight=weight / total[own],
            offsets=counts.cumsum(0) - counts,
        )

    def select_tokens(
        self, tokens: Int[Tensor, "batch some"], real: Bool[Tensor, "batch some"]
    ) -> "Links":
        """The links of these student tokens, ascending; all others must have none.

        Where `real` is False there is no token: a row without links.
        """
        batch, some = tokens.shape
        first = torch.arange(batch, device=tokens.device)[:, None] * self.student_seq
        counts = (self.link_counts[first + tokens] * real).flatten()
        return replace(self, offsets=counts.cumsum(0) - counts, student_seq=some)

    def apply(self, x: Float[Tensor, "rows width"]) -> Float[Tensor, "batch student_seq width"]:
        """Weighted sum of the rows under each student token; zero where there is none."""
        found = F.embedding_bag(
            self.teacher_rows,
            x,
            self.offsets,
            mode="sum",
            per_sample_weights=self.weight.to(x.dtype),
        )
        return found.view(-1, self.student_seq, x.shape[1])


@dataclass(frozen=True)
class TeacherInputs:
    """A batch as one teacher reads it, and the links from the student's tokens to its tokens."""

    tokens: Tokens
    links: Links


@dataclass(frozen=True)
class Batch:
    """The same texts as the student and as each teacher read them."""

    student: Tokens
    teachers: dict[str, TeacherInputs]
    ids: list[str]
    """Row ids, in order; named when something goes wrong and used to prove equal batches."""
    tasks: list[str]

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "Batch":
        """The same batch on a device, as tensors move."""
        found: Batch = move_to_device(self, device, non_blocking)
        return found


def move_to_device(value: Any, device: torch.device | str, non_blocking: bool = False) -> Any:
    """The value with every tensor in it on the device; dicts and dataclasses are walked."""
    if isinstance(value, Tensor):
        return value.to(device, non_blocking=non_blocking)
    if isinstance(value, dict):
        return {key: move_to_device(item, device, non_blocking) for key, item in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        parts = {
            f.name: move_to_device(getattr(value, f.name), device, non_blocking)
            for f in fields(value)
        }
        return replace(value, **parts)
    return value
