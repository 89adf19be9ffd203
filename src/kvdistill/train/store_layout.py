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
class StoredText:
    """A text as the teacher reads it, and how many of its tokens compression will keep."""

    id: str
    tokens: Tokenised
    count: int

    @property
    def length(self) -> int:
        return len(self.tokens.ids)


@dataclass(frozen=True)
class StoreLayout:
    """What is stored of which layers."""

    request: TeacherRequest
    spec: Stored
    kv_width: int
    """Of one layer's keys over all heads."""
    kv_heads: int

    @property
    def list_layer_groups(self) -> list[tuple[list[int], list[int], tuple[int, int]]]:
        """(student layers, their teacher layers, columns) of each decision of compression."""
        layer_pairs = self.request.layer_pairs
        served = (
            [layer_pairs]
            if self.request.compression.layer_independent
            else [[source] for source in layer_pairs]
        )
        groups, start = [], 0
        for group in served:
            layers = sorted({layer for source in group for layer in source.teacher_layers})
            stop = start + 2 * self.kv_width * len(layers)
            groups.append(([source.student_layer for source in group], layers, (start, stop)))
            start = stop
        return groups

    @property
    def token_bytes(self) -> int:
        """What a kept token takes on disk: its row, and its position in each group."""
        columns = self.list_layer_groups[-1][2][1]
        return columns * DTYPES[self.spec.dtype].itemsize + 4 * len(self.list_layer_groups)

    def read_texts(self, config: Config, needs: Mapping[str, Path]) -> Iterator[StoredText]:
        """Every text of the stored parts, the short ones first."""
        for part in inputs.STORED_PARTS:
            texts, _ = inputs.read_texts(config, needs, part, None)
            tokenised = texts.read_by(ONLY)
            lengths = torch.tensor([len(read.ids) for read in tokenised])
            mask = torch.arange(int(lengths.max())) < lengths[:, None]
            counts = self.request.compression.count_kept(mask).tolist()
            for text, read, count in zip(texts.texts, tokenised, counts, strict=True):
                yield StoredText(text.id, read, count)

    def divide_into_shards(self, texts: Sequence[StoredText]) -> list[list[StoredText]]:
        """The texts by length, cut where a shard is full."""
        shards: list[list[StoredText]] = []
        room = 0
        for text in sorted(texts, key=lambda text: (text.length, text.id)):
            size = text.count * self.token_bytes
            if not shards or size > room:
                shards.append([])
                room = SHARD_BYTES
            shards[-1].append(text)
            room -= size
        return shards

    def read_shard(
        self, source: Online, texts: Sequence[StoredText], pad: int
    ) -> tuple[Float[Tensor, "kept columns"], Int[Tensor, "kept groups"]]:
        """A shard's rows, text after text, and their tokens' positions."""
        parts = []
        for batch in batch_texts(texts):
            tokens = padded([text.tokens for text in batch], pad)
            kept = source.read_kv(tokens, [text.id for text in batch])
            parts.append(
                tuple(
                    torch.cat(column, dim=1)
                    for column in zip(*map(select_kept_rows, kept), strict=True)
                )
            )
            if len(parts[-1][0]) != sum(text.count for text in batch):
                raise UserError(
                    f"compression kept {len(parts[-1][0])} tokens of text {batch[0].id} and those "
                    f"read with it where its budget allows "
                    f"{sum(text.count for text in batch)}. Use source=online with this press."
                )
        rows, positions = (torch.cat(column) for column in zip(*parts, strict=True))
        return rows, positions


def select_kept_rows(
    kept: CompressedKV,
) -> tuple[Float[Tensor, "kept columns"], Int[Tensor, "kept 1"]]:
    """The rows that compression left, text after text, and their tokens' positions."""
    is_kept = kept.row_of_token >= 0
    return kept.flat_kv[kept.row_of_token[is_kept]], is_kept.nonzero()[:, 1:]


def batch_texts(texts: Sequence[StoredText]) -> Iterator[list[StoredText]]:
    """Texts in order, as many as fit when padded to the longest."""
    batch: list[StoredText] = []
    for text in texts:
        longest = max(text.length, *(other.length for other in batch)) if batch else text.length
        if batch and longest * (len(batch) + 1) > BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(text)
    yield batch
