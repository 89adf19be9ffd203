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
from kvdistill.layers.base import Source
from kvdistill.types import Layer, Tokens


@runtime_checkable
class Press(Protocol):
    """What a source asks of compression: `kvdistill.compression.base.Compression`."""

    needs_attention: ClassVar[bool]
    alike: ClassVar[bool]

    def budget(self, mask: Bool[Tensor, "batch seq"]) -> Int[Tensor, " batch"]:
        """How many tokens of each text are kept."""

    def exact(self, layer: Layer) -> Float[Tensor, "batch seq"]:
        """How much each token of a teacher layer is worth."""

    def best(
        self, scores: Sequence[Float[Tensor, "batch seq"]], mask: Bool[Tensor, "batch seq"]
    ) -> Bool[Tensor, "batch seq"]:
        """The kept tokens by the scores of a student layer's source layers."""


@dataclass(frozen=True)
class Wanted:
    """What a run wants of one teacher: all that a source is built from."""

    body: Callable[[], nn.Module]
    """Loads the decoder; called only by a source that reads with it, which then owns it."""
    sources: Sequence[Source]
    press: Press
    rotary: bool
    """Whether position turns the teacher's keys."""
    store: Path | None = None
    """Folder of the stored K and V, where the source reads one."""
    prints: Mapping[str, str] = field(default_factory=dict)
    """What the store must have been made of, each told by content."""

    @property
    def layers(self) -> list[int]:
        """The teacher layers that the layer map reads."""
        return sorted({layer for source in self.sources for layer in source.teachers})


@dataclass(frozen=True)
class Kept:
    """The tokens of a batch that compression left for some student layers, as rows.

    A row holds keys, then values, of each of `layers` in turn, all heads of each.
    """

    sources: Sequence[Source]
    """The student layers that are compared with these tokens."""
    layers: Sequence[int]
    flat: Float[Tensor, "rows width"]
    """Undefined in rows that `rows` does not name."""
    rows: Int[Tensor, "batch teacher_seq"]
    """The row that stands for each of the teacher's tokens; -1 where compression dropped it."""
    tokens: Int[Tensor, " rows"]
    """Position of each row's token in its own text."""
    heads: int

    def columns(self, layer: int) -> tuple[slice, slice]:
        """Where a row holds the keys and the values of a layer."""
        width = self.flat.shape[1] // (2 * len(self.layers))
        start = 2 * width * list(self.layers).index(layer)
        return slice(start, start + width), slice(start + width, start + 2 * width)

    def listed(self) -> Int[Tensor, "batch most"]:
        """The rows of each text in the order of its tokens, then -1."""
        kept = self.rows >= 0
        most = int(kept.sum(dim=1).max())
        found = self.rows.new_full((len(kept), most), -1)
        found[kept.nonzero()[:, 0], self.rank()[kept]] = self.rows[kept]
        return found

    def rank(self) -> Int[Tensor, "batch teacher_seq"]:
        """How many kept tokens of its text stand before each token."""
        kept = (self.rows >= 0).long()
        return kept.cumsum(dim=1) - kept

    def turned(self, turn: Callable[[Tensor, int, Tensor], Tensor]) -> "Kept":
        """The same with other keys: `turn(keys, layer, positions)`, both of batch 1."""
        flat = self.flat
        for layer in self.layers:
            where, _ = self.columns(layer)
            keys = self.flat[:, where].unflatten(1, (self.heads, -1)).transpose(0, 1)[None]
            turned = turn(keys, layer, self.tokens[None])
            if turned is not keys:
                flat = flat.clone() if flat is self.flat else flat
                flat[:, where] = turned[0].transpose(0, 1).flatten(1).to(flat.dtype)
        return self if flat is self.flat else replace(self, flat=flat)


class TeacherKV(ABC):
    """Gives what compression leaves of a teacher's K and V; never has a gradient.

    Built from `wanted`, and from its own YAML's fields as keywords.
    """

    least_texts: ClassVar[int] = 1
    """Texts that a micro-batch must have."""

    rotaries: Mapping[int, Rotary]
    """The teacher's own, by layer."""

    @abstractmethod
    def read(self, tokens: Tokens, ids: Sequence[str]) -> list[Kept]:
        """Every distilled student layer is in one of them; `ids` are the texts' ids."""


def pressed(
    layers: Mapping[int, Layer], sources: Sequence[Source], press: Press
) -> list[tuple[Sequence[Source], Bool[Tensor, "batch seq"]]]:
    """The tokens that compression keeps, once for all sources it treats alike.

    Each teacher layer is scored once: two student layers may share one.
    """
    mask = next(iter(layers.values())).tokens.mask
    scores: dict[int, Tensor] = {}

    def best(source: Source) -> Tensor:
        for layer in source.teachers:
            if layer not in scores:
                scores[layer] = press.exact(layers[layer])
        return press.best([scores[layer] for layer in source.teachers], mask)

    if press.alike:
        return [(list(sources), best(sources[0]))]
    return [([source], best(source)) for source in sources]


def masked(layers: Mapping[int, Layer], sources: Sequence[Source], press: Press) -> list[Kept]:
    """What compression leaves of captured layers, as they lie: nothing is gathered."""
    found = []
    for served, kept in pressed(layers, sources, press):
        names = sorted({layer for source in served for layer in source.teachers})
        pairs = [(layers[n].kv.keys, layers[n].kv.values) for n in names]
        batch, heads, seq, _ = pairs[0][0].shape
        index = torch.arange(batch * seq, device=kept.device).view(batch, seq)
        found.append(
            Kept(
                sources=served,
                layers=names,
                flat=torch.cat([x.transpose(1, 2).flatten(2) for p in pairs for x in p], 2).flatten(
                    0, 1
                ),
                rows=torch.where(kept, index, -1),
                tokens=index.flatten() % seq,
                heads=heads,
            )
        )
    return found
