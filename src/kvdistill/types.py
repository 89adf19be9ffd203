"""The values that pass between the stages of a step.

Axes, here and in every annotation:
    batch, heads (KV heads), dim (head dim), seq (tokens of whichever model the value belongs to);
    student and teacher prefix an axis where both appear in one signature.

K and V always mean keys before the rotary embedding, and values. Anything after it says so.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class PackedRows:
    """The texts of a batch as a model computes them: several in a row, one behind another.

    Attention is block-diagonal: transformers tells texts apart by where positions begin anew.
    """

    ids: Int[Tensor, "rows width"]
    positions: Int[Tensor, "rows width"]
    """0, 1, ... within each text; what is left of a row counts as one more text."""
    places: Int[Tensor, "batch seq"]
    """Where each token of the batch lies in the flattened rows; padding repeats its own text's."""

    def unpack(
        self, x: Float[Tensor, "rows heads width dim"]
    ) -> Float[Tensor, "batch heads seq dim"]:
        """What was computed in rows, laid out as the batch; undefined in its padding."""
        _, heads, _, dim = x.shape
        # Heads side by side: one index_select moves whole tokens, and its backward adds whole rows.
        tokens = x.transpose(1, 2).flatten(2).flatten(0, 1).index_select(0, self.places.flatten())
        return tokens.view(*self.places.shape, heads, dim).transpose(1, 2)


@dataclass(frozen=True)
class Tokens:
    """A batch of texts as one model reads them, padded on the right."""

    ids: Int[Tensor, "batch seq"]
    mask: Bool[Tensor, "batch seq"]
    """True on real tokens."""
    answer: Bool[Tensor, "batch seq"]
    """True on the tokens of the answer, over which cross-entropy is computed."""
    packed: PackedRows | None = None
    """The same tokens as the model computes them; None: as they stand here, padding included."""

    @property
    def model_inputs(self) -> dict[str, Tensor]:
        """What the forward of a transformers model takes of them."""
        # Without an attention mask. No real token sees the padding behind it, and kernels that know
        # causality alone are the fast ones; and only then does transformers look for texts that
        # share a row in the positions.
        if self.packed is None:
            return {"input_ids": self.ids}
        return {"input_ids": self.packed.ids, "position_ids": self.packed.positions}

    @property
    def computed_ids(self) -> Int[Tensor, "rows width"]:
        """The ids that a model computes, padding included."""
        return self.ids if self.packed is None else self.packed.ids

    @cached_property
    def answer_rows(self) -> tuple[Int[Tensor, "batch longest"], Int[Tensor, " batch"]]:
        """(positions of each text's answer tokens, padded to the longest answer; how many)."""
        answer = self.answer & self.mask
        count = answer.sum(dim=1)
        # A stable sort keeps them in order and brings them to the front. Kept, since the length of
        # the longest answer has to be read from the device: once a batch, not once a layer.
        rows = answer.int().argsort(dim=1, descending=True, stable=True)[:, : int(count.max())]
        return rows, count

    @cached_property
    def label_mask(self) -> Bool[Tensor, "batch seq"]:
        """True on the answer tokens that have a token before them."""
        answer = self.answer & self.mask
        # A text may be all answer: nothing predicts its first token.
        return answer & (torch.arange(answer.shape[1], device=answer.device) > 0)

    @cached_property
    def label_places(self) -> Int[Tensor, " predicted"]:
        """Where `label_mask` is True in the flattened batch, text after text.

        Kept, since the host has to know how many they are: a GPU is waited for once a batch.
        """
        return self.label_mask.flatten().nonzero().flatten()

    @property
    def labels(self) -> Int[Tensor, " predicted"]:
        """The tokens that are predicted, text after text."""
        return self.ids.flatten()[self.label_places]

    @property
    def label_texts(self) -> Int[Tensor, " predicted"]:
        """Row of the batch that each of them belongs to."""
        return self.label_places // self.ids.shape[1]

    @cached_property
    def logit_mask(self) -> Bool[Tensor, "batch seq"]:
        """True one token before `label_mask`: the logits there predict the labels."""
        # Nothing wraps around to the last column: the first one is never a label.
        return self.label_mask.roll(-1, dims=1)


@dataclass(frozen=True)
class KVBias:
    """What each head's keys and values have in common, where they are kept without it.

    As large as hundreds of times what is left, it would cost them their lower bits if they were
    rounded together.
    """

    keys: Float[Tensor, "heads dim"]
    values: Float[Tensor, "heads dim"]


@dataclass(frozen=True)
class KV:
    """One layer's cache, keys before the rotary embedding; undefined under the mask."""

    keys: Float[Tensor, "batch heads seq dim"]
    values: Float[Tensor, "batch heads seq dim"]
    mask: Bool[Tensor, "batch seq"]
    head_mask: Bool[Tensor, "batch heads seq"] | None = None
    """Where heads hold tokens of their own: which heads hold each; `mask` is where any does. None:
    all heads hold what `mask` says."""
    bias: KVBias | None = None
    """To be added to `keys` and `values`, which were rounded without it; None for nothing."""
    token_weights: Float[Tensor, "batch seq"] | None = None
    """How much each token counts in a text's distance, in float32; None: all alike."""

    @property
    def held(self) -> Bool[Tensor, "batch some_heads seq"]:
        """Where each head holds a token; one head for all where they agree."""
        mask = self.mask[:, None]
        return mask if self.head_mask is None else mask & self.head_mask

    def select_texts(self, texts: Sequence[int]) -> "KV":
        """K and V of these texts of the batch, in this order."""
        index = list(texts)
        head_mask = None if self.head_mask is None else self.head_mask[index]
        weights = None if self.token_weights is None else self.token_weights[index]
        return KV(
            self.keys[index], self.values[index], self.mask[index], head_mask, self.bias, weights
        )

    def add_bias(self) -> "KV":
        """The same with its bias in `keys` and `values`, then in float32; zero where none is held.

        Itself where it has no bias.
        """
        if self.bias is None:
            return self
        keys = self.keys.float() + self.bias.keys.float()[:, None]
        values = self.values.float() + self.bias.values.float()[:, None]
        if self.head_mask is not None:
            dropped = ~self.head_mask[..., None]
            keys, values = keys.masked_fill(dropped, 0), values.masked_fill(dropped, 0)
        return replace(self, keys=keys, values=values, bias=None)

    def rotate_keys(self, rotate: Callable[[Tensor], Tensor]) -> "KV":
        """The same with `rotate(keys)` for keys, their bias turned with them."""
        rotated = rotate(self.keys)
        if rotated is self.keys:
            return self
        whole = self.add_bias()
        return replace(whole, keys=rotated if whole is self else rotate(whole.keys))


def join_heads(parts: Sequence[KV]) -> KV:
    """K and V of one head each, of the same tokens, as one; a part of several heads stays."""
    if len(parts) == 1:
        return parts[0]
    head_mask = torch.stack([part.mask for part in parts], dim=1)
    keys, values = (
        torch.cat([getattr(part, name) for part in parts], dim=1) for name in ("keys", "values")
    )
    biases = [part.bias for part in parts if part.bias is not None]
    bias = KVBias(
        torch.cat([each.keys for each in biases]), torch.cat([each.values for each in biases])
    ) if biases else None  # fmt: skip
    return KV(keys, values, head_mask.any(dim=1), head_mask, bias)


@runtime_checkable
class SupportsMeanRotation(Protocol):
    """A layer's rotary embedding, averaged over positions."""

    def rotate_by_mean(self, keys: Tensor, positions: Tensor) -> Tensor:
        """`keys` (batch, heads, seq, dim) turned by the mean rotation of `positions` (batch, n)."""


@dataclass(frozen=True)
class Layer:
    """One captured layer: K and V and, where compression reads attention, what attention reads."""

    kv: KV
    tokens: Tokens
    rotated_queries: Float[Tensor, "batch query_heads seq dim"] | None = None
    """Scaled, as `queries`: their product with rotated keys over sqrt(dim) is what attention puts
    into its softmax, also in a model with a scale of its own (Gemma, Granite)."""
    rotated_keys: Float[Tensor, "batch heads seq dim"] | None = None
    queries: Float[Tensor, "batch query_heads seq dim"] | None = None
    """Before the rotary embedding, as their projection gives them: see `complete_queries`."""
    rotary: SupportsMeanRotation | None = None
    query_bias: Float[Tensor, "query_heads dim"] | None = None
    """What `queries` leave out; None: nothing."""
    query_scale: float = 1.0
    """What attention multiplies them by, beside its 1 / sqrt(dim)."""

    def add_bias(self) -> "Layer":
        """The same with its bias in K and V, as compression scores them."""
        return self if self.kv.bias is None else replace(self, kv=self.kv.add_bias())

    def complete_queries(self) -> Float[Tensor, "batch query_heads seq dim"]:
        """Scaled queries before the rotary embedding, in float32 where they had left out a bias.

        Made when they are read, a layer at a time: those of all layers would be twice as large.
        """
        assert self.queries is not None
        queries = self.queries
        if self.query_bias is not None:
            queries = queries.float() + self.query_bias.float()[:, None]
        return queries if self.query_scale == 1 else queries * self.query_scale


@dataclass(frozen=True)
class Links:
    """Alignment of a batch, sparse: for each student token, the weighted teacher tokens under it.

    Laid out as `embedding_bag` takes it: one bag a student token (those of sample 0, then of
    sample 1, ...), so that no dense student_seq x teacher_seq matrix is ever made.
    """

    teacher_rows: Int[Tensor, " links"]
    """Row that is read, ascending within a student token's links. As collated, the flat position
    `sample * teacher_seq + token`."""
    weight: Float[Tensor, " links"]
    """Positive; the weights of a student token sum to 1, and one without links is masked."""
    offsets: Int[Tensor, " rows"]
    """Where each student token starts in `teacher_rows`; rows = batch * student_seq."""
    student_seq: int
    teacher_seq: int

    @property
    def link_counts(self) -> Int[Tensor, " rows"]:
        """Number of links of each student token."""
        # Filled on the device: a number handed over would have the host wait.
        end = self.offsets.new_full((1,), len(self.teacher_rows))
        return torch.diff(self.offsets, append=end)

    @property
    def mask(self) -> Bool[Tensor, "batch student_seq"]:
        """True on the student tokens that have a teacher token."""
        return (self.link_counts > 0).view(-1, self.student_seq)

    def count_kept(self, rows: Int[Tensor, "batch teacher_seq"]) -> Int[Tensor, ""]:
        """How many links `map_to_rows` keeps, on the device."""
        return (rows.reshape(-1)[self.teacher_rows] >= 0).sum()

    def map_to_rows(
        self, rows: Int[Tensor, "batch teacher_seq"], count: int | None = None
    ) -> "Links":
        """The links to the rows that stand for the teacher's tokens; -1 drops a token.

        The weights that a student token has left are renormalised to sum to 1. `count` is what
        `count_kept` says, where it has been read: else the host waits for a GPU to know it.
        """
        count = int(self.count_kept(rows)) if count is None else count
        teacher_rows = rows.reshape(-1)[self.teacher_rows]
        if count == len(teacher_rows):
            return replace(self, teacher_rows=teacher_rows)
        kept = torch.nonzero_static(teacher_rows >= 0, size=count).flatten()
        student_row = torch.repeat_interleave(self.link_counts, output_size=len(teacher_rows))[kept]
        weight = self.weight[kept]
        total = weight.new_zeros(len(self.offsets)).index_add_(0, student_row, weight)
        counts = torch.zeros_like(self.offsets)
        counts.index_add_(0, student_row, torch.ones_like(student_row))
        return replace(
            self,
            teacher_rows=teacher_rows[kept],
            # Divided link by link: a student token that lost all its links has a total of 0, but
            # no link that reads it.
            weight=weight / total[student_row],
            offsets=counts.cumsum(0) - counts,
        )

    def keep_tokens(self, kept: Bool[Tensor, "batch student_seq"]) -> "Links":
        """The links of the student tokens that are True; the others are left without any."""
        counts = self.link_counts
        is_kept = torch.repeat_interleave(
            kept.flatten(), counts, output_size=len(self.teacher_rows)
        )
        # How many the host has to know: it waits for a GPU, once for rows and weights.
        of_kept = is_kept.nonzero().flatten()
        counts = counts * kept.flatten()
        return replace(
            self,
            teacher_rows=self.teacher_rows[of_kept],
            weight=self.weight[of_kept],
            offsets=counts.cumsum(0) - counts,
        )

    def select_tokens(
        self, tokens: Int[Tensor, "batch some"], real: Bool[Tensor, "batch some"]
    ) -> "Links":
        """The links of these student tokens alone.

        `tokens` ascend within a sample and must hold every token that has links: only the offsets
        are rebuilt, the links stay as they lie. Where `real` is False `tokens` holds padding,
        which has no link.
        """
        batch, some = tokens.shape
        first = torch.arange(batch, device=tokens.device)[:, None] * self.student_seq
        counts = (self.link_counts[first + tokens] * real).flatten()
        return replace(self, offsets=counts.cumsum(0) - counts, student_seq=some)

    def apply(self, x: Float[Tensor, "rows width"]) -> Float[Tensor, "batch student_seq width"]:
        """Weighted sum of the rows under each student token; zero where there is none."""
        sums = F.embedding_bag(
            self.teacher_rows,
            x,
            self.offsets,
            mode="sum",
            # embedding_bag wants weights in the precision of the rows.
            per_sample_weights=self.weight.to(x.dtype),
        )
        return sums.view(-1, self.student_seq, x.shape[1])


@dataclass(frozen=True)
class Chunks:
    """Which tokens of student and teacher spell the same piece of an answer, over a batch.

    Tokens of one number are one piece; numbers ascend, from text to text too, and -1 is none.
    """

    student: Int[Tensor, "batch student_seq"]
    teacher: Int[Tensor, "batch teacher_seq"]


@dataclass(frozen=True)
class TeacherInputs:
    """A batch as one teacher reads it, and the links from the student's tokens to its tokens."""

    tokens: Tokens
    links: Links
    chunks: Chunks | None = None
    """Where distributions over two vocabularies are compared."""


@dataclass(frozen=True)
class Batch:
    """The same texts as the student and as each teacher read them."""

    student: Tokens
    teachers: dict[str, TeacherInputs]
    ids: list[str]
    """Row ids, in order; named in errors, and compared to prove that two batches are equal."""
    tasks: list[str]

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "Batch":
        """The same batch on a device, as `Tensor.to` moves it."""
        batch: Batch = move_to_device(self, device, non_blocking)
        return batch


def move_to_device(value: Any, device: torch.device | str, non_blocking: bool = False) -> Any:
    """The value with every tensor in it on the device; dicts and dataclasses are walked.

    A dataclass of which nothing has moved is itself, with what it has computed of itself.
    """
    if isinstance(value, Tensor):
        return value.to(device, non_blocking=non_blocking)
    if isinstance(value, dict):
        return {key: move_to_device(item, device, non_blocking) for key, item in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        parts = {
            f.name: move_to_device(getattr(value, f.name), device, non_blocking)
            for f in fields(value)
        }
        if all(part is getattr(value, name) for name, part in parts.items()):
            return value
        return replace(value, **parts)
    return value
