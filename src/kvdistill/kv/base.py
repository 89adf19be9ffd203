"""What a run asks of a teacher: K and V, which reach alignment, and the states of its answers."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from kvdistill.layers.base import LayerPair
from kvdistill.models.answer_head import AnswerHead
from kvdistill.models.attention.rotary import Rotary
from kvdistill.types import KV, KVBias, Layer, Tokens


@runtime_checkable
class Compressor(Protocol):
    """What is needed of a compression here: `kvdistill.compression.base.Compression` is one."""

    needs_attention: ClassVar[bool]
    layer_independent: ClassVar[bool]

    @property
    def by_head(self) -> bool:
        """Whether each KV head keeps tokens of its own: scores then have an axis of heads."""

    def compute_budget(self, mask: Bool[Tensor, "batch seq"]) -> Int[Tensor, " batch"]:
        """How many tokens of each text are kept."""

    def score_in_float32(self, layer: Layer) -> Float[Tensor, "batch *heads seq"]:
        """How much each token of a teacher layer is worth."""

    def keep_best(
        self, scores: Sequence[Float[Tensor, "batch *heads seq"]], mask: Bool[Tensor, "batch seq"]
    ) -> Bool[Tensor, "batch *heads seq"]:
        """The tokens to keep, by the scores of the one or two layers of a pair."""


@dataclass(frozen=True)
class TeacherRequest:
    """What a run needs of one teacher: all that a `TeacherKV` is built from."""

    load_body: Callable[[], nn.Module]
    """Loads the decoder; called only by a source that reads with it, which then owns it."""
    layer_pairs: Sequence[LayerPair]
    """None where no K and V are compared."""
    compression: Compressor
    needs_rotary: bool
    """Whether position turns the teacher's keys."""
    load_head: Callable[[], AnswerHead] | None = None
    """Loads what makes logits of the decoder's last states, which `load_body` then loads whole;
    None where nobody asks for them."""
    store_folder: Path | None = None
    """Folder of the stored K and V, where the source reads one."""
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    """Name -> content hash of everything that the store must have been built from."""
    answers_folder: Path | None = None
    """The same of the stored states of answers."""
    answers_fingerprints: Mapping[str, str] = field(default_factory=dict)
    time_reading: Callable[[], AbstractContextManager[None]] = nullcontext
    """What is open while the teacher's model computes, or its store is read: it takes the time."""

    @property
    def teacher_layers(self) -> list[int]:
        """The teacher layers that the layer map reads, ascending."""
        return sorted({layer for pair in self.layer_pairs for layer in pair.teacher_layers})


@dataclass(frozen=True)
class CompressedKV:
    """The kept tokens of a batch for some student layers, one row a token.

    A row holds keys, then values, of each of `teacher_layers` in turn: all heads of each, or `head`
    alone where heads keep tokens of their own. Then each head of a student layer has one of these.
    """

    layer_pairs: Sequence[LayerPair]
    """The student layers that are compared with these tokens."""
    teacher_layers: Sequence[int]
    flat_kv: Float[Tensor, "rows width"]
    """Undefined in rows that `row_of_token` does not name."""
    row_of_token: Int[Tensor, "batch teacher_seq"]
    """The row that stands for each of the teacher's tokens; -1 where compression dropped it."""
    positions: Int[Tensor, " rows"]
    """Position of each row's token in its own text."""
    heads: int
    """KV heads in a row."""
    head: int | None = None
    """Which KV head the rows are of; None: all."""
    bias: Float[Tensor, " width"] | None = None
    """To be added to every row, which was rounded without it (types.py: KVBias); None: nothing."""

    def get_bias(self, layer: int) -> KVBias | None:
        """The bias of a teacher layer's keys and values."""
        if self.bias is None:
            return None
        return KVBias(*(self.bias[at].view(self.heads, -1) for at in self.find_columns(layer)))

    def add_bias(self) -> "CompressedKV":
        """The same with its bias in the rows, then in float32; itself where it has none."""
        if self.bias is None:
            return self
        return replace(self, flat_kv=self.add_bias_to(self.flat_kv), bias=None)

    def add_bias_to(self, rows: Float[Tensor, "some width"]) -> Float[Tensor, "some width"]:
        """Some of its rows with their bias, then in float32; as they are where there is none."""
        return rows if self.bias is None else rows.float() + self.bias

    def find_columns(self, layer: int) -> tuple[slice, slice]:
        """Where a row holds the keys and the values of a teacher layer."""
        width = self.flat_kv.shape[1] // (2 * len(self.teacher_layers))
        start = 2 * width * list(self.teacher_layers).index(layer)
        return slice(start, start + width), slice(start + width, start + 2 * width)

    def list_rows(self) -> Int[Tensor, "batch most"]:
        """The rows of each text in the order of its tokens, padded with -1."""
        kept = self.row_of_token >= 0
        most = int(kept.sum(dim=1).max())
        rows = self.row_of_token.new_full((len(kept), most + 1), -1)
        # What is not kept goes to a column of its own: a GPU need not be asked which that is.
        return rows.scatter_(1, self.rank_tokens().where(kept, most), self.row_of_token)[:, :most]

    def rank_tokens(self) -> Int[Tensor, "batch teacher_seq"]:
        """How many kept tokens of its text stand before each token."""
        kept = (self.row_of_token >= 0).long()
        return kept.cumsum(dim=1) - kept

    def rotate_keys(self, rotate: Callable[[Tensor, int, Tensor], Tensor]) -> "CompressedKV":
        """The same with `rotate(keys, layer, positions)` for keys; both tensors are of batch 1."""
        first = self.view_keys(self.teacher_layers[0])
        if rotate(first, self.teacher_layers[0], self.positions[None]) is first:
            return self
        # A bias turns with the keys; and keys that hold it would be rounded with it.
        whole = self.add_bias()
        # Copied before the first write: this value stays as it is.
        flat_kv = whole.flat_kv.clone()
        for layer in self.teacher_layers:
            rotated = rotate(whole.view_keys(layer), layer, self.positions[None])
            columns, _ = self.find_columns(layer)
            flat_kv[:, columns] = rotated[0].transpose(0, 1).flatten(1).to(flat_kv.dtype)
        return replace(whole, flat_kv=flat_kv)

    def view_keys(self, layer: int) -> Float[Tensor, "1 heads rows dim"]:
        """A teacher layer's keys as one text of all rows."""
        columns, _ = self.find_columns(layer)
        return self.flat_kv[:, columns].unflatten(1, (self.heads, -1)).transpose(0, 1)[None]


@dataclass(frozen=True)
class AnswerStates:
    """A teacher's last hidden states where they predict its answer tokens, text after text.

    That is at `Tokens.logit_mask` of what it reads. Logits are as wide as a vocabulary, so `head`
    makes them of as many states at a time as there is room for.
    """

    hidden: Float[Tensor, "predicted width"]
    head: AnswerHead
    given: Bool[Tensor, " predicted"] | None = None
    """Where there is a state at all; None: everywhere."""


@dataclass(frozen=True)
class TeacherReading:
    """What a teacher makes of a batch."""

    compressed: Sequence[CompressedKV]
    """What compression leaves of its K and V; none where no K and V are compared."""
    rotaries: Mapping[int, Rotary]
    """The teacher's own, by layer."""
    answers: AnswerStates | None = None
    """None where nobody asks for them."""


class TeacherKV(ABC):
    """Gives what compression leaves of a teacher's K and V; never has a gradient.

    Built with `request=` and with the fields of its own YAML as keywords. One that gives the states
    of answers too overrides `read_texts`.
    """

    min_texts: ClassVar[int] = 1
    """Texts that a micro-batch must have."""
    gives_answers: ClassVar[bool] = False
    """Whether `read_texts` gives the states of answers where a request asks for them."""

    rotaries: Mapping[int, Rotary]
    """The teacher's own, by layer."""

    @abstractmethod
    def read_kv_cache(self, tokens: Tokens, ids: Sequence[str]) -> list[CompressedKV]:
        """K and V of a batch; every distilled student layer is in exactly one of the results.

        Where heads keep tokens of their own, in one for each head, in order and one after another.

        `ids` are the texts' ids, in the order of `tokens`.
        """

    def read_texts(self, tokens: Tokens, ids: Sequence[str]) -> TeacherReading:
        """K and V of a batch and, where the request asks for them, the states of its answers."""
        return TeacherReading(self.read_kv_cache(tokens, ids), self.rotaries)

    def prefetch(self, tokens: Tokens, ids: Sequence[str]) -> None:  # noqa: B027 - most need none
        """Announces a batch of the CPU that will be read, in that order."""

    def close(self) -> None:  # noqa: B027
        """Ends what reads ahead, if anything does; nothing is read afterwards."""


@dataclass(frozen=True)
class KeptGroup:
    """What shares one set of kept tokens."""

    layer_pairs: list[LayerPair]
    head: int | None
    """The KV head that these tokens are kept of; None: all."""


def group_layer_pairs(
    layer_pairs: Sequence[LayerPair], compression: Compressor, heads: int
) -> list[KeptGroup]:
    """All pairs at once, or each alone, or each alone of a teacher's `heads`."""
    if compression.layer_independent:
        return [KeptGroup(list(layer_pairs), None)]
    choices = range(heads) if compression.by_head else (None,)
    return [KeptGroup([pair], head) for pair in layer_pairs for head in choices]


def select_kept_tokens(
    layers: Mapping[int, Layer], layer_pairs: Sequence[LayerPair], compression: Compressor
) -> list[tuple[KeptGroup, Bool[Tensor, "batch seq"]]]:
    """(group, mask of its kept tokens) of each group."""
    first = next(iter(layers.values()))
    scores: dict[int, Tensor] = {}
    kept: dict[int, Tensor] = {}

    def keep_best(pair: LayerPair) -> Tensor:
        # Two student layers may read one teacher layer, and a score may cost seq^2: each once.
        for layer in pair.teacher_layers:
            if layer not in scores:
                scores[layer] = compression.score_in_float32(layers[layer].add_bias())
        return compression.keep_best(
            [scores[layer] for layer in pair.teacher_layers], first.tokens.mask
        )

    selected = []
    for group in group_layer_pairs(layer_pairs, compression, first.kv.keys.shape[1]):
        # The first pair speaks for its group: the scores of the others' layers are the same.
        pair = group.layer_pairs[0]
        if pair.student_layer not in kept:
            kept[pair.student_layer] = keep_best(pair)
        mask = kept[pair.student_layer]
        selected.append((group, mask if group.head is None else mask[:, group.head]))
    return selected


def compress_layers(
    layers: Mapping[int, Layer], layer_pairs: Sequence[LayerPair], compression: Compressor
) -> list[CompressedKV]:
    """What compression leaves of captured layers.

    Rows are all tokens of the batch where they lie, padding included: nothing is gathered, and
    `row_of_token` names the kept ones.
    """
    compressed = []
    for group, kept in select_kept_tokens(layers, layer_pairs, compression):
        teacher_layers = sorted({n for pair in group.layer_pairs for n in pair.teacher_layers})
        some = slice(None) if group.head is None else slice(group.head, group.head + 1)
        parts = [
            part[:, some]
            for layer in teacher_layers
            for part in (layers[layer].kv.keys, layers[layer].kv.values)
        ]
        batch, heads, seq, _ = parts[0].shape
        row = torch.arange(batch * seq, device=kept.device).view(batch, seq)
        flat = torch.cat([part.transpose(1, 2).flatten(2) for part in parts], dim=2)
        compressed.append(
            CompressedKV(
                layer_pairs=group.layer_pairs,
                teacher_layers=teacher_layers,
                flat_kv=flat.flatten(0, 1),
                row_of_token=torch.where(kept, row, -1),
                positions=row.flatten() % seq,
                heads=heads,
                head=group.head,
                bias=join_biases([layers[layer].kv for layer in teacher_layers], some),
            )
        )
    return compressed


def join_biases(kvs: Sequence[KV], heads: slice) -> Float[Tensor, " width"] | None:
    """What these heads of teacher layers leave out, as `CompressedKV.bias`; None for nothing."""
    biases = [kv.bias for kv in kvs]
    if all(bias is None for bias in biases):
        return None
    parts = []
    for kv, bias in zip(kvs, biases, strict=True):
        # A layer without one, beside one that has one.
        zeros = kv.keys.new_zeros(kv.keys.shape[1::2], dtype=torch.float32)
        both = KVBias(zeros, zeros) if bias is None else bias
        parts += [both.keys[heads].float().flatten(), both.values[heads].float().flatten()]
    return torch.cat(parts)
