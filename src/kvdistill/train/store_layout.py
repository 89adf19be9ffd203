"""What a store keeps of which texts, and in which order it reads them.

Texts of similar length are read together and lie together. The batches do not depend on what was
written before or by which rank, so that a build that was killed continues to the same bytes, and
several ranks write what one would.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from kvdistill.config.compose import Config
from kvdistill.data.collate import pad_tokens
from kvdistill.data.tokenise import TokenisedText
from kvdistill.errors import UserError
from kvdistill.kv.base import CompressedKV, TeacherRequest, group_layer_pairs
from kvdistill.kv.online import Online
from kvdistill.kv.quantise import DTYPES, QuantisedRows
from kvdistill.kv.shard_writer import SHARD_BYTES, ShardText
from kvdistill.kv.shards import Stored
from kvdistill.kv.store_index import LayerGroup
from kvdistill.plan.graph import ONLY
from kvdistill.train import inputs
from kvdistill.types import Tokens, move_to_device

BATCH_TOKENS = 2048
"""Most tokens that are read at once, padding counted in; a longer text is read alone."""


@dataclass(frozen=True)
class StoredText:
    """A text as the teacher reads it, and how many of its tokens compression will keep."""

    id: str
    tokens: TokenisedText
    count: int
    """Kept tokens."""

    @property
    def length(self) -> int:
        """Tokens that the teacher reads."""
        return len(self.tokens.ids)

    @property
    def token_row(self) -> tuple[Int[Tensor, "1 seq"], Bool[Tensor, "1 seq"]]:
        """(its token ids, their mask) as a batch of its own."""
        ids = torch.from_numpy(self.tokens.ids)[None]
        return ids, torch.ones_like(ids, dtype=torch.bool)

    @property
    def shard_text(self) -> ShardText:
        """What a shard states of it before its bytes are known."""
        return ShardText(self.id, self.count)


@dataclass(frozen=True)
class StoreLayout(ABC):
    """What is stored of each text: the columns of a row, and their precision."""

    request: TeacherRequest
    spec: Stored
    kv_heads: int

    @property
    @abstractmethod
    def layer_groups(self) -> list[LayerGroup]:
        """Columns that have the same tokens; one group at least."""

    @property
    @abstractmethod
    def dtype(self) -> str:
        """Of the rows, as `source.stored` says."""

    @abstractmethod
    def count_rows(self, texts: Sequence[TokenisedText]) -> list[int]:
        """How many rows each text has, from its tokens alone: known before anything is read."""

    @abstractmethod
    def read_rows(
        self, teacher: Online, tokens: Tokens, ids: Sequence[str]
    ) -> tuple[Float[Tensor, "kept columns"], Int[Tensor, "kept groups"]]:
        """The rows of a batch, text after text, and their tokens' positions in each group."""

    @abstractmethod
    def quantise_rows(self, rows: Float[Tensor, "kept columns"]) -> QuantisedRows:
        """The rows of a shard as they are stored."""

    @property
    def token_bytes(self) -> int:
        """Bytes of a row on disk: its columns, and an int32 position in each group."""
        groups = self.layer_groups
        return groups[-1].columns.stop * DTYPES[self.dtype].itemsize + 4 * len(groups)

    def read_texts(self, config: Config, needs: Mapping[str, Path]) -> Iterator[StoredText]:
        """Every text of the stored parts, in the order of the split."""
        for part in inputs.STORED_PARTS:
            texts, _ = inputs.read_texts(config, needs, part, None)
            tokenised = texts.get_teacher_tokens(ONLY)
            counts = self.count_rows(tokenised)
            for text, tokens, count in zip(texts.texts, tokenised, counts, strict=True):
                yield StoredText(text.id, tokens, count)

    def divide_into_shards(self, texts: Sequence[StoredText]) -> list[list[StoredText]]:
        """The texts by length, in shards of up to SHARD_BYTES; a larger text has one to itself."""
        shards: list[list[StoredText]] = []
        token_bytes, room = self.token_bytes, 0
        # The id decides between texts of one length: the order must be the same in every process.
        for text in sorted(texts, key=lambda text: (text.length, text.id)):
            size = text.count * token_bytes
            if not shards or size > room:
                shards.append([])
                room = SHARD_BYTES
            shards[-1].append(text)
            room -= size
        return shards

    def read_shard(
        self, teacher: Online, texts: Sequence[StoredText], pad: int
    ) -> tuple[Float[Tensor, "kept columns"], Int[Tensor, "kept groups"]]:
        """A shard's rows, text after text, and their tokens' positions in each group.

        Raises UserError where compression keeps another number of tokens than was planned.
        """
        parts = []
        for batch in batch_texts(texts):
            # Compressed, and its rows picked out, where the teacher computes.
            tokens = move_to_device(
                pad_tokens([text.tokens for text in batch], pad), teacher.device
            )
            parts.append(self.read_rows(teacher, tokens, [text.id for text in batch]))
            # Shards were cut, and disk space checked, by the planned number.
            if len(parts[-1][0]) != sum(text.count for text in batch):
                raise UserError(
                    f"compression kept {len(parts[-1][0])} tokens of text {batch[0].id} and those "
                    f"read with it where its budget allows "
                    f"{sum(text.count for text in batch)}. Use source=online with this press."
                )
        rows, positions = (torch.cat(column) for column in zip(*parts, strict=True))
        return rows, positions


@dataclass(frozen=True)
class CacheLayout(StoreLayout):
    """What compression leaves of the mapped layers' K and V."""

    kv_width: int
    """Numbers in one layer's keys over all heads."""

    @property
    def dtype(self) -> str:
        return self.spec.dtype

    @property
    def layer_groups(self) -> list[LayerGroup]:
        """Student layers that compression keeps the same tokens for, with their columns.

        One group where compression ignores the layer, else one a student layer, or one a student
        layer and KV head.
        """
        groups, start = [], 0
        request = self.request
        for each in group_layer_pairs(request.layer_pairs, request.compression, self.kv_heads):
            layers = sorted({layer for pair in each.layer_pairs for layer in pair.teacher_layers})
            width = self.kv_width if each.head is None else self.kv_width // self.kv_heads
            # Keys, then values, of each teacher layer in turn.
            stop = start + 2 * width * len(layers)
            students = [pair.student_layer for pair in each.layer_pairs]
            groups.append(LayerGroup(students, layers, start, stop, each.head))
            start = stop
        return groups

    def count_rows(self, texts: Sequence[TokenisedText]) -> list[int]:
        lengths = torch.tensor([len(tokens.ids) for tokens in texts])
        mask = torch.arange(int(lengths.max())) < lengths[:, None]
        counts: list[int] = self.request.compression.compute_budget(mask).tolist()
        return counts

    def read_rows(
        self, teacher: Online, tokens: Tokens, ids: Sequence[str]
    ) -> tuple[Float[Tensor, "kept columns"], Int[Tensor, "kept groups"]]:
        groups = map(select_kept_rows, teacher.read_kv_cache(tokens, ids))
        rows, positions = (torch.cat(each, dim=1) for each in zip(*groups, strict=True))
        return rows, positions

    def quantise_rows(self, rows: Float[Tensor, "kept columns"]) -> QuantisedRows:
        return QuantisedRows.quantise(rows, self.spec.dtype)


@dataclass(frozen=True)
class StatesLayout(StoreLayout):
    """The last hidden states where they predict answer tokens, as the head is given them."""

    width: int

    @property
    def dtype(self) -> str:
        return self.spec.states

    @property
    def layer_groups(self) -> list[LayerGroup]:
        """All columns as one group, of no layer."""
        return [LayerGroup([], [], 0, self.width)]

    def count_rows(self, texts: Sequence[TokenisedText]) -> list[int]:
        # As Tokens.label_mask: nothing predicts a text's first token.
        return [int(tokens.answer[1:].sum()) for tokens in texts]

    def read_rows(
        self, teacher: Online, tokens: Tokens, ids: Sequence[str]
    ) -> tuple[Float[Tensor, "kept columns"], Int[Tensor, "kept groups"]]:
        answers = teacher.read_texts(tokens, ids).answers
        assert answers is not None, "its request asks for them"
        return answers.hidden, tokens.logit_mask.nonzero()[:, 1:]

    def quantise_rows(self, rows: Float[Tensor, "kept columns"]) -> QuantisedRows:
        # As they are: what a head makes of them is then what it makes of live ones.
        return QuantisedRows(rows.to(DTYPES[self.dtype]))


def select_kept_rows(
    kept: CompressedKV,
) -> tuple[Float[Tensor, "kept columns"], Int[Tensor, "kept 1"]]:
    """The rows that compression left, text after text, and the positions of their tokens."""
    is_kept = kept.row_of_token >= 0
    rows = kept.add_bias_to(kept.flat_kv[kept.row_of_token[is_kept]])
    return rows, is_kept.nonzero()[:, 1:]


def batch_texts(texts: Sequence[StoredText]) -> Iterator[list[StoredText]]:
    """Texts in order, as many as BATCH_TOKENS holds when all are padded to the longest."""
    batch: list[StoredText] = []
    for text in texts:
        longest = max(text.length, *(other.length for other in batch)) if batch else text.length
        if batch and longest * (len(batch) + 1) > BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(text)
    yield batch
