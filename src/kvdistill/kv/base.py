"""What a run asks of a teacher, and the K and V that reach alignment."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from kvdistill.layers.base import LayerPair
from kvdistill.models.attention.rotary import Rotary
from kvdistill.types import Layer, Tokens


@runtime_checkable
class Compressor(Protocol):
    """What is needed of a compression here: `kvdistill.compression.base.Compression` is one."""

    needs_attention: ClassVar[bool]
    layer_independent: ClassVar[bool]

    def compute_budget(self, mask: Bool[Tensor, "batch seq"]) -> Int[Tensor, " batch"]:
        """How many tokens of each text are kept."""

    def score_in_float32(self, layer: Layer) -> Float[Tensor, "batch seq"]:
        """How much each token of a teacher layer is worth."""

    def keep_best(
        self, scores: Sequence[Float[Tensor, "batch seq"]], mask: Bool[Tensor, "batch seq"]
    ) -> Bool[Tensor, "batch seq"]:
        """The tokens to keep, by the scores of the one or two layers of a pair."""


@dataclass(frozen=True)
class TeacherRequest:
    """What a run needs of one teacher: all that a `TeacherKV` is built from."""

    load_body: Callable[[], nn.Module]
    """Loads the decoder; called only by a source that reads with it, which then owns it."""
    layer_pairs: Sequence[LayerPair]
    compression: Compressor
    needs_rotary: bool
    """Whether position turns the teacher's keys."""
    store_folder: Path | None = None
    """Folder of the stored K and V, where the source reads one."""
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    """Name -> content hash of everything that the store must have been built from."""

    @property
    def teacher_layers(self) -> list[int]:
        """The teacher layers that the layer map reads, ascending."""
        return sorted({layer for pair in self.layer_pairs for layer in pair.teacher_layers})


@dataclass(frozen=True)
class CompressedKV:
    """The kept tokens of a batch for some student layers, one row a token.

    A row holds keys, then values, of each of `teacher_layers` in turn, all heads of each.
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

    def find_columns(self, layer: int) -> tuple[slice, slice]:
        """Where a row holds the keys and the values of a teacher layer."""
        width = self.flat_kv.shape[1] // (2 * len(self.teacher_layers))
        start = 2 * width * list(self.teacher_layers).index(layer)
        return slice(start, start + width), slice(start + width, start + 2 * width)

    def list_rows(self) -> Int[Tensor, "batch most"]:
        """The rows of each text in the order of its tokens, padded with -1."""
        kept = self.row_of_token >= 0
        most = int(kept.sum(dim=1).max())
        rows = self.row_of_token.new_full((len(kept), most), -1)
        rows[kept.nonzero()[:, 0], self.rank_tokens()[kept]] = self.row_of_token[kept]
        return rows

    def rank_tokens(self) -> Int[Tensor, "batch teacher_seq"]:
        """How many kept tokens of its text stand before each token."""
        kept = (self.row_of_token >= 0).long()
        return kept.cumsum(dim=1) - kept

    def rotate_keys(self, rotate: Callable[[Tensor, int, Tensor], Tensor]) -> "CompressedKV":
        """The same with `rotate(keys, layer, positions)` for keys; both tensors are of batch 1."""
        flat_kv = self.flat_kv
        for layer in self.teacher_layers:
            columns, _ = self.find_columns(layer)
            keys = self.flat_kv[:, columns].unflatten(1, (self.heads, -1)).transpose(0, 1)[None]
            rotated = rotate(keys, layer, self.positions[None])
            if rotated is not keys:
                # Copied once, before the first write: this value stays as it is.
                flat_kv = flat_kv.clone() if flat_kv is self.flat_kv else flat_kv
                flat_kv[:, columns] = rotated[0].transpose(0, 1).flatten(1).to(flat_kv.dtype)
        return self if flat_kv is self.flat_kv else replace(self, flat_kv=flat_kv)


class TeacherKV(ABC):
    """Gives what compression leaves of a teacher's K and V; never has a gradient.

    Built with `request=` and with the fields of its own YAML as keywords.
    """

    min_texts: ClassVar[int] = 1
    """Texts that a micro-batch must have."""

    rotaries: Mapping[int, Rotary]
    """The teacher's own, by layer."""

    @abstractmethod
    def read_kv_cache(self, tokens: Tokens, ids: Sequence[str]) -> list[CompressedKV]:
        """K and V of a batch; every distilled student layer is in exactly one of the results.

        `ids` are the texts' ids, in the order of `tokens`.
        """


def group_layer_pairs(
    layer_pairs: Sequence[LayerPair], compression: Compressor
) -> list[list[LayerPair]]:
    """The pairs that share one mask of kept tokens: all, or each one alone."""
    if compression.layer_independent:
        return [list(layer_pairs)]
    return [[pair] for pair in layer_pairs]


def select_kept_tokens(
    layers: Mapping[int, Layer], layer_pairs: Sequence[LayerPair], compression: Compressor
) -> list[tuple[list[LayerPair], Bool[Tensor, "batch seq"]]]:
    """(pairs, mask of their kept tokens) of each group."""
    mask = next(iter(layers.values())).tokens.mask
    scores: dict[int, Tensor] = {}

    def keep_best(pair: LayerPair) -> Tensor:
        # Two student layers may read one teacher layer, and a score may cost seq^2: each once.
        for layer in pair.teacher_layers:
            if layer not in scores:
                scores[layer] = compression.score_in_float32(layers[layer])
        return compression.keep_best([scores[layer] for layer in pair.teacher_layers], mask)

    # The first pair speaks for its group: the scores of the others' layers are the same.
    groups = group_layer_pairs(layer_pairs, compression)
    return [(group, keep_best(group[0])) for group in groups]


def compress_layers(
    layers: Mapping[int, Layer], layer_pairs: Sequence[LayerPair], compression: Compressor
) -> list[CompressedKV]:
    """What compression leaves of captured layers.

    Rows are all tokens of the batch where they lie, padding included: nothing is gathered, and
    `row_of_token` names the kept ones.
    """
    compressed = []
    for pairs, kept in select_kept_tokens(layers, layer_pairs, compression):
        teacher_layers = sorted({layer for pair in pairs for layer in pair.teacher_layers})
        parts = [part for n in teacher_layers for part in (layers[n].kv.keys, layers[n].kv.values)]
        batch, heads, seq, _ = parts[0].shape
        row = torch.arange(batch * seq, device=kept.device).view(batch, seq)
        flat = torch.cat([part.transpose(1, 2).flatten(2) for part in parts], dim=2)
        compressed.append(
            CompressedKV(
                layer_pairs=pairs,
                teacher_layers=teacher_layers,
                flat_kv=flat.flatten(0, 1),
                row_of_token=torch.where(kept, row, -1),
                positions=row.flatten() % seq,
                heads=heads,
            )
        )
    return compressed
