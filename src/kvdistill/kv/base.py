"""Where a teacher's K and V come from, and what of them reaches alignment."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from kvdistill.kv.rotary import Rotary
from kvdistill.layers.base import LayerPair
from kvdistill.types import Layer, Tokens


@runtime_checkable
class Compressor(Protocol):
    """What a source asks of compression: `kvdistill.compression.base.Compression`."""

    needs_attention: ClassVar[bool]
    layer_independent: ClassVar[bool]

    def count_kept(self, mask: Bool[Tensor, "batch seq"]) -> Int[Tensor, " batch"]:
        """How many tokens of each text are kept."""

    def score_in_float32(self, layer: Layer) -> Float[Tensor, "batch seq"]:
        """How much each token of a teacher layer is worth."""

    def keep_best(
        self, scores: Sequence[Float[Tensor, "batch seq"]], mask: Bool[Tensor, "batch seq"]
    ) -> Bool[Tensor, "batch seq"]:
        """The kept tokens by the scores of a student layer's source layers."""


@dataclass(frozen=True)
class TeacherRequest:
    """What a run wants of one teacher: all that a source is built from."""

    load_body: Callable[[], nn.Module]
    """Loads the decoder; called only by a source that reads with it, which then owns it."""
    layer_pairs: Sequence[LayerPair]
    compression: Compressor
    needs_rotary: bool
    """Whether position turns the teacher's keys."""
    store_folder: Path | None = None
    """Folder of the stored K and V, where the source reads one."""
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    """What the store must have been made of, each told by content."""

    @property
    def teacher_layers(self) -> list[int]:
        """The teacher layers that the layer map reads."""
        return sorted({layer for source in self.layer_pairs for layer in source.teacher_layers})


@dataclass(frozen=True)
class CompressedKV:
    """The tokens of a batch that compression left for some student layers, as rows.

    A row holds keys, then values, of each of `layers` in turn, all heads of each.
    """

    layer_pairs: Sequence[LayerPair]
    """The student layers that are compared with these tokens."""
    teacher_layers: Sequence[int]
    flat_kv: Float[Tensor, "rows width"]
    """Undefined in rows that `rows` does not name."""
    row_of_token: Int[Tensor, "batch teacher_seq"]
    """The row that stands for each of the teacher's tokens; -1 where compression dropped it."""
    positions: Int[Tensor, " row_of_token"]
    """Position of each row's token in its own text."""
    heads: int

    def find_columns(self, layer: int) -> tuple[slice, slice]:
        """Where a row holds the keys and the values of a layer."""
        width = self.flat_kv.shape[1] // (2 * len(self.teacher_layers))
        start = 2 * width * list(self.teacher_layers).index(layer)
        return slice(start, start + width), slice(start + width, start + 2 * width)

    def list_rows(self) -> Int[Tensor, "batch most"]:
        """The rows of each text in the order of its tokens, then -1."""
        kept = self.row_of_token >= 0
        most = int(kept.sum(dim=1).max())
        found = self.row_of_token.new_full((len(kept), most), -1)
        found[kept.nonzero()[:, 0], self.rank_tokens()[kept]] = self.row_of_token[kept]
        return found

    def rank_tokens(self) -> Int[Tensor, "batch teacher_seq"]:
        """How many kept tokens of its text stand before each token."""
        kept = (self.row_of_token >= 0).long()
        return kept.cumsum(dim=1) - kept

    def rotate_keys(self, turn: Callable[[Tensor, int, Tensor], Tensor]) -> "CompressedKV":
        """The same with other keys: `turn(keys, layer, positions)`, both of batch 1."""
        flat = self.flat_kv
        for layer in self.teacher_layers:
            where, _ = self.find_columns(layer)
            keys = self.flat_kv[:, where].unflatten(1, (self.heads, -1)).transpose(0, 1)[None]
            turned = turn(keys, layer, self.positions[None])
            if turned is not keys:
                flat = flat.clone() if flat is self.flat_kv else flat
                flat[:, where] = turned[0].transpose(0, 1).flatten(1).to(flat.dtype)
        return self if flat is self.flat_kv else replace(self, flat=flat)


class TeacherKV(ABC):
    """Gives what compression leaves of a teacher's K and V; never has a gradient.

    Built from `wanted`, and from its own YAML's fields as keywords.
    """

    min_texts: ClassVar[int] = 1
    """Texts that a micro-batch must have."""

    rotaries: Mapping[int, Rotary]
    """The teacher's own, by layer."""

    @abstractmethod
    def read_kv(self, tokens: Tokens, ids: Sequence[str]) -> list[CompressedKV]:
        """Every distilled student layer is in one of them; `ids` are the texts' ids."""


def select_kept_tokens(
    layers: Mapping[int, Layer], sources: Sequence[LayerPair], press: Compressor
) -> list[tuple[Sequence[LayerPair], Bool[Tensor, "batch seq"]]]:
    """The tokens that compression keeps, once for all sources it treats alike.

    Each teacher layer is scored once: two student layers may share one.
    """
    mask = next(iter(layers.values())).tokens.mask
    scores: dict[int, Tensor] = {}

    def best(source: LayerPair) -> Tensor:
        for layer in source.teacher_layers:
            if layer not in scores:
                scores[layer] = press.score_in_float32(layers[layer])
        return press.keep_best([scores[layer] for layer in source.teacher_layers], mask)

    if press.layer_independent:
        return [(list(sources), best(sources[0]))]
    return [([source], best(source)) for source in sources]


def compress_layers(
    layers: Mapping[int, Layer], sources: Sequence[LayerPair], press: Compressor
) -> list[CompressedKV]:
    """What compression leaves of captured layers, as they lie: nothing is gathered."""
    found = []
    for served, kept in select_kept_tokens(layers, sources, press):
        names = sorted({layer for source in served for layer in source.teacher_layers})
        pairs = [(layers[n].kv.keys, layers[n].kv.values) for n in names]
        batch, heads, seq, _ = pairs[0][0].shape
        index = torch.arange(batch * seq, device=kept.device).view(batch, seq)
        found.append(
            CompressedKV(
                layer_pairs=served,
                teacher_layers=names,
                flat_kv=torch.cat(
                    [x.transpose(1, 2).flatten(2) for p in pairs for x in p], 2
                ).flatten(0, 1),
                row_of_token=torch.where(kept, index, -1),
                positions=index.flatten() % seq,
                heads=heads,
            )
        )
    return found
