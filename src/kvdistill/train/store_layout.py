"""What a store keeps of which texts, and in which order it reads them.

Texts of like length are read together and lie together, in the same batches whatever was done
before, so that a build that was killed continues to the same bytes.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from kvdistill.config.compose import Config
from kvdistill.data.collate import padded
from kvdistill.data.tokenise import Tokenised
from kvdistill.errors import UserError
from kvdistill.kv.base import CompressedKV, TeacherRequest
from kvdistill.kv.online import Online
from kvdistill.kv.shards import DTYPES, SHARD_BYTES, Stored
from kvdistill.plan.graph import ONLY
from kvdistill.train import inputs

BATCH_TOKENS = 2048
"""Tokens read at once, padding counted in."""


@dataclass(frozen=True)
class Read:
    """A text as the teacher reads it, and how many of its tokens compression will keep."""

    id: str
    tokens: Tokenised
    count: int

    @property
    def length(self) -> int:
        return len(self.tokens.ids)


@dataclass(frozen=True)
class Build:
    """What is stored of which layers."""

    wanted: TeacherRequest
    spec: Stored
    width: int
    """Of one layer's keys over all heads."""
    heads: int

    @property
    def groups(self) -> list[tuple[list[int], list[int], tuple[int, int]]]:
        """(student layers, their teacher layers, columns) of each decision of compression."""
        sources = self.wanted.layer_pairs
        served = (
            [sources]
            if self.wanted.compression.layer_independent
            else [[source] for source in sources]
        )
        found, start = [], 0
        for group in served:
            layers = sorted({layer for source in group for layer in source.teacher_layers})
            stop = start + 2 * self.width * len(layers)
            found.append(([source.student_layer for source in group], layers, (start, stop)))
            start = stop
        return found

    @property
    def token_bytes(self) -> int:
        """What a kept token takes on disk: its row, and its position in each group."""
        columns = self.groups[-1][2][1]
        return columns * DTYPES[self.spec.dtype].itemsize + 4 * len(self.groups)

    def texts(self, config: Config, needs: Mapping[str, Path]) -> Iterator[Read]:
        """Every text of the stored parts, the short ones first."""
        for part in inputs.STORED_PARTS:
            texts, _ = inputs.texts(config, needs, part, None)
            reads = texts.read_by(ONLY)
            lengths = torch.tensor([len(read.ids) for read in reads])
            mask = torch.arange(int(lengths.max())) < lengths[:, None]
            counts = self.wanted.compression.count_kept(mask).tolist()
            for text, read, count in zip(texts.texts, reads, counts, strict=True):
                yield Read(text.id, read, count)

    def shards(self, texts: Sequence[Read]) -> list[list[Read]]:
        """The texts by length, cut where a shard is full."""
        shards: list[list[Read]] = []
        room = 0
        for text in sorted(texts, key=lambda text: (text.length, text.id)):
            size = text.count * self.token_bytes
            if not shards or size > room:
                shards.append([])
                room = SHARD_BYTES
            shards[-1].append(text)
            room -= size
        return shards

    def gathered(
        self, source: Online, texts: Sequence[Read], pad: int
    ) -> tuple[Float[Tensor, "kept columns"], Int[Tensor, "kept groups"]]:
        """A shard's rows, text after text, and their tokens' positions."""
        parts = []
        for batch in batches(texts):
            tokens = padded([text.tokens for text in batch], pad)
            kept = source.read_kv(tokens, [text.id for text in batch])
            parts.append(
                tuple(torch.cat(column, dim=1) for column in zip(*map(left, kept), strict=True))
            )
            if len(parts[-1][0]) != sum(text.count for text in batch):
                raise UserError(
                    f"compression kept {len(parts[-1][0])} tokens of text {batch[0].id} and those "
                    f"read with it where its budget allows "
                    f"{sum(text.count for text in batch)}. Use source=online with this press."
                )
        rows, positions = (torch.cat(column) for column in zip(*parts, strict=True))
        return rows, positions


def left(kept: CompressedKV) -> tuple[Float[Tensor, "kept columns"], Int[Tensor, "kept 1"]]:
    """The rows that compression left, text after text, and their tokens' positions."""
    there = kept.row_of_token >= 0
    return kept.flat_kv[kept.row_of_token[there]], there.nonzero()[:, 1:]


def batches(texts: Sequence[Read]) -> Iterator[list[Read]]:
    """Texts in order, as many as fit when padded to the longest."""
    batch: list[Read] = []
    for text in texts:
        longest = max(text.length, *(other.length for other in batch)) if batch else text.length
        if batch and longest * (len(batch) + 1) > BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(text)
    yield batch
